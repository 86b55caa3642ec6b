"""Downloads of files over HTTP and HTTPS alone, within a time and a size."""

import contextlib
import http.client
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request

SCHEMES = ("http", "https")
THREAD = "keras_attnviz download"
_PIECE = 2**16


def downloaded(url, *, seconds, most_bytes):
    """Returns the contents at an address, as bytes.

    Redirects to other HTTP and HTTPS addresses are followed. Proxies are taken from the
    environment.

    Args:
        url: text.
        seconds: the longest time for everything: name look-up, redirects, headers and body.
        most_bytes: the most bytes that the body may have.

    Raises:
        OSError: the address can't be read, or the answer takes too long, is too large or ends
            before its stated length.
    """
    sockets, found = [], {}

    def work():
        try:
            found["contents"] = _contents(url, _opener(sockets), seconds, most_bytes)
        except Exception as error:
            found["error"] = error

    # In a thread, because there is no time limit on the look-up of a name, nor on headers that come
    # byte by byte.
    thread = threading.Thread(target=work, name=THREAD, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        raise OSError(f"no complete answer within {seconds:g} seconds")
    # `OSError`, errors of `http.client`, or `ValueError` for a malformed address.
    if "error" in found:
        raise OSError(str(found["error"]) or repr(found["error"])) from found["error"]
    return found["contents"]


def _contents(url, opener, seconds, most_bytes):
    # Some hosts, Wikimedia for example, refuse urllib's default user agent.
    request = urllib.request.Request(url, headers={"User-Agent": "keras-attnviz"})
    try:
        response = opener.open(request, timeout=seconds)
    except urllib.error.HTTPError as error:
        error.close()
        raise
    with response:
        if (response.length or 0) > most_bytes:
            raise OSError(f"{response.length} bytes, where at most {most_bytes} are read")
        pieces, size = [], 0
        while piece := response.read1(_PIECE):
            pieces.append(piece)
            size += len(piece)
            if size > most_bytes:
                raise OSError(f"more than {most_bytes} bytes")
        if response.length:
            raise OSError(f"the answer ended {response.length} bytes before its stated length")
    return b"".join(pieces)


def _opener(sockets):
    """Returns an opener without the handlers for files, FTP and data of urllib's default opener."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _WebHandler(sockets),
        _RedirectHandler(),
    ):
        opener.add_handler(handler)
    return opener


class _WebHandler(urllib.request.AbstractHTTPHandler):
    """Opens HTTP and HTTPS addresses, and keeps their sockets in a list."""

    def __init__(self, sockets):
        super().__init__()
        self._sockets = sockets

    def http_open(self, request):
        return self.do_open(_kept(http.client.HTTPConnection, self._sockets), request)

    def https_open(self, request):
        return self.do_open(_kept(http.client.HTTPSConnection, self._sockets), request)

    http_request = https_request = urllib.request.AbstractHTTPHandler.do_request_


def _kept(connection, sockets):
    """Returns a class of connections that keep their sockets in a list."""

    class Kept(connection):
        def connect(self):
            super().connect()
            sockets.append(self.sock)

    return Kept


class _RedirectHandler(urllib.request.HTTPRedirectHandler):
    """Follows redirects to HTTP and HTTPS alone, and doesn't read the bodies of redirects."""

    def http_error_302(self, request, response, code, text, headers):
        # Python would read the whole body, however long it is.
        response.close()
        return super().http_error_302(request, response, code, text, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(self, request, response, code, text, headers, url):
        if urllib.parse.urlsplit(url).scheme not in SCHEMES:
            raise OSError(f"it leads to {url!r}, which is not an HTTP or HTTPS address")
        return super().redirect_request(request, response, code, text, headers, url)
