"""Wait line: tells a person what is being done when it takes long."""

import contextlib
import threading
import time

# Seconds of silence before the line.
_SILENCE = 1.0


@contextlib.contextmanager
def wait_line(text, *, is_quiet=False):
    """Prints a line if what is done within takes longer than a second, and completes it at the end.

    Args:
        text: what is being done.
        is_quiet: whether nothing is printed.
    """
    lock, began = threading.Lock(), time.monotonic()
    has_ended = has_begun = False

    def begin():
        nonlocal has_begun
        with lock:
            if not has_ended:
                print(f"{text} ...", end="", flush=True)
                has_begun = True

    timer = threading.Timer(_SILENCE, begin)
    timer.daemon = True
    if not is_quiet:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with lock:
            has_ended = True
            if has_begun:
                print(f" {time.monotonic() - began:.0f} s", flush=True)
