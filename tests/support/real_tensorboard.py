"""Real TensorBoard, in a separate process, and its answers."""

import contextlib
import re
import subprocess
import urllib.parse
import urllib.request


@contextlib.contextmanager
def started(command):
    """Yields the address at which a TensorBoard answers, and ends it afterwards.

    Args:
        command: list of texts, the command line that starts it.
    """
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        found = (re.search(r"(http://\S+:\d+/)", line) for line in server.stderr)
        yield next(match[1] for match in found if match)
    finally:
        server.terminate()
        server.wait()
        server.stderr.close()


def answers(address):
    """Returns a function from a route below `data/` and its query to the bytes of the answer."""

    def answer(route, **query):
        query = urllib.parse.urlencode(query, doseq=True)
        with urllib.request.urlopen(f"{address}data/{route}?{query}", timeout=30) as response:
            return response.read()

    return answer
