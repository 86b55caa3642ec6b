"""Trap servers: web servers on this machine that answer in ways no picture's host should."""

import contextlib
import socket
import threading
import time

ENDLESS = 2**30  # bytes after which even an endless server gives up


@contextlib.contextmanager
def trap(answer):
    """Yields the address of a server that reads a request's head and then calls `answer`.

    Args:
        answer: function that is called with the connected socket.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def serve(connection):
        # The client hangs up when it has read enough.
        with connection, contextlib.suppress(OSError):
            if connection.recv(2**16):
                answer(connection)

    def listen():
        while not ended.is_set():
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                connection.settimeout(20)
                threading.Thread(target=serve, args=[connection], daemon=True).start()

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        ended.set()
        # A last connection, so that the listener notices the end.
        with contextlib.suppress(OSError), socket.create_connection(listener.getsockname()):
            thread.join()
        listener.close()


def replies(status, headers, body=b""):
    """Returns an answer that writes a status line, headers and a body."""
    lines = [f"HTTP/1.1 {status}", *headers, "Connection: close", "", ""]
    head = "\r\n".join(lines).encode("latin-1")
    return lambda connection: connection.sendall(head + body)


def endless(head, piece=bytes(2**16)):
    """Returns an answer that never ends and writes as fast as it is read."""

    def answer(connection):
        connection.sendall(head)
        for _ in range(ENDLESS // len(piece)):
            connection.sendall(piece)

    return answer


def dripping(head, piece, seconds=0.05):
    """Returns an answer that never ends and writes a piece every `seconds`."""

    def answer(connection):
        connection.sendall(head)
        for _ in range(int(20 / seconds)):
            connection.sendall(piece)
            time.sleep(seconds)

    return answer
