"""Lock of a log: only one training at a time can write, and the lock ends with its process.

These are record locks (POSIX `fcntl`). Processes forked for data loading don't inherit them. Such
a process may outlive a killed training, and must not prevent a restart.
"""

import os

from keras_attnviz._checks import message

try:
    import fcntl
except ImportError:  # Windows has no such locks.
    fcntl = None

_NAME = "lock"
# From the locks' paths that this process holds to the descriptors of the open files.
_held = {}


def lock(folder, log_dir):
    """Locks the folder of a log for this process; does nothing on systems without such locks.

    If this process still holds the lock, because an error ended a training, it keeps it.

    Args:
        folder: path of an existing folder.
        log_dir: the log directory, for the error message.

    Raises:
        ValueError: another process holds the lock.
    """
    path = os.path.join(os.path.abspath(folder), _NAME)
    if fcntl is None or path in _held or not os.path.isdir(folder):
        return
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        os.close(file)
        must = "a directory into which no other training is writing at the same time"
        remedy = "Choose another one; each run gets its own line in TensorBoard."
        raise ValueError(message("log_dir", must, log_dir, remedy)) from None
    except OSError:  # a file system without locks
        os.close(file)
    else:
        _held[path] = file


def unlock(folder):
    """Releases the lock of a folder, if this process holds it."""
    file = _held.pop(os.path.join(os.path.abspath(folder), _NAME), None)
    if file is not None:
        os.close(file)
