"""TensorBoard on a log directory, so that no epoch's picture is left out."""

import os
import sys

from keras_attnviz._checks import check_count, message

DEFAULT_PORT = 6006
# Not 0, which TensorBoard documents as "all": its Images tab then shows none.
_PICTURES_KEPT = 100_000


def serve(log_dir, *, port=DEFAULT_PORT, host="localhost"):
    """Replaces this process by TensorBoard on a log directory; does not return.

    By default TensorBoard keeps ten pictures of a series, chosen at random; here it keeps all.

    Args:
        log_dir: path of an existing directory.
        port: integer in [0, 65535]; 0 lets the system choose a free one.
        host: name or address to listen on; "localhost" is reached from this machine alone.

    Raises:
        ValueError: `log_dir` is no directory, or `port` is out of range.
    """
    command = tensorboard_command(log_dir, port=port, host=host)
    sys.stdout.flush()
    os.execv(command[0], command)


def tensorboard_command(log_dir, *, port=DEFAULT_PORT, host="localhost"):
    """Returns the command line that `serve` runs, a list of texts; raises what it raises."""
    if not os.path.isdir(log_dir):
        raise ValueError(message("log_dir", "an existing directory", os.fspath(log_dir)))
    check_count("port", port, 0)
    if port > 65535:
        raise ValueError(message("port", "at most 65535", port))
    options = ["--logdir", os.fspath(log_dir), "--host", host, "--port", str(port)]
    options += ["--samples_per_plugin", f"images={_PICTURES_KEPT}"]
    return [sys.executable, "-m", "tensorboard.main", *options]
