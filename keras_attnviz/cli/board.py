"""The subcommand `board`: TensorBoard on a log directory, with the pictures of every epoch.

TensorBoard finds a free port itself, but only when it starts. This module finds one earlier: the
demo must know before minutes of training whether the requested port is taken, and the address is
printed before TensorBoard has loaded.
"""

import errno
import os
import socket
import sys

from keras_attnviz._checks import check_count, message

DEFAULT_PORT = 6006
# Not 0, which TensorBoard documents as "all": the Images tab then shows no pictures.
_PICTURES_KEPT = 100_000


def free_port(port=None, *, default=DEFAULT_PORT, host="localhost"):
    """Returns a port on which TensorBoard can listen.

    If `port` is None and the default port is taken, this returns a free one and prints a line
    about it.

    Args:
        port: integer in [0, 65535], or None for any port; 0 lets the system choose when
            TensorBoard starts.
        default: the preferred port if `port` is None.
        host: name or address to listen on.

    Raises:
        ValueError: `port` is out of range, taken, or not open to this user.
    """
    wanted = default if port is None else port
    _check_port(wanted)
    error = _listening_error(wanted, host)
    if error is None:
        return wanted
    if port is not None:
        remedy = f"{error.strerror}. Choose another port, or omit it to use a free one."
        raise ValueError(message("port", f"a free port on {host}", port, remedy)) from error
    with socket.socket(_family(host)) as listener:
        listener.bind((host, 0))
        chosen = listener.getsockname()[1]
    print(f"Port {default} is taken; TensorBoard will use port {chosen}.", flush=True)
    return chosen


def serve(log_dir, *, port=None, host="localhost"):
    """Replaces this process with TensorBoard on a log directory; does not return.

    By default, TensorBoard keeps ten pictures of a series, chosen at random; here it keeps all. It
    always keeps all data of the Attention tab, because of `tb_plugin.loader`.

    Args:
        log_dir: path of an existing directory.
        port: integer in [0, 65535]; 0 lets the system choose a free one. None takes the default
            port, or a free one if that is taken.
        host: name or address to listen on; "localhost" accepts only this machine.

    Raises:
        ValueError: `log_dir` is not a directory, or `port` is out of range or taken.
    """
    _check_log_dir(log_dir)
    port = free_port(port, host=host)
    command = tensorboard_command(log_dir, port=port, host=host)
    if port != 0:  # for 0, only TensorBoard knows the system's choice, and prints it
        print(f"Starting TensorBoard at http://{f'[{host}]' if ':' in host else host}:{port}/")
    sys.stdout.flush()
    os.execv(command[0], command)


def tensorboard_command(log_dir, *, port=DEFAULT_PORT, host="localhost"):
    """Returns the command line that `serve` runs, a list of texts."""
    _check_log_dir(log_dir)
    _check_port(port)
    options = ["--logdir", os.fspath(log_dir), "--host", host, "--port", str(port)]
    options += ["--samples_per_plugin", f"images={_PICTURES_KEPT}"]
    return [sys.executable, "-m", "tensorboard.main", *options]


def _check_log_dir(log_dir):
    if not os.path.isdir(log_dir):
        raise ValueError(message("log_dir", "an existing directory", os.fspath(log_dir)))


def _check_port(port):
    check_count("port", port, 0)
    if port > 65535:
        raise ValueError(message("port", "at most 65535", port))


def _listening_error(port, host):
    """Returns the `OSError` that prevents listening on a port, or None."""
    with socket.socket(_family(host)) as listener:
        if os.name == "posix":
            # As in TensorBoard: a port that was in use a moment ago counts as free.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
                must = "a name or address of this machine"
                raise ValueError(message("host", must, host, f"{error.strerror}.")) from error
            return error
    with socket.socket() as caller:
        # TensorBoard refuses a port that answers on localhost, whatever its host is.
        if port != 0 and caller.connect_ex(("localhost", port)) == 0:
            return OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    return None


def _family(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET
