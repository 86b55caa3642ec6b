"""A file from the web: over HTTP and HTTPS alone, within a time and a size."""

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
    """Returns the contents at an address, bytes.

    Redirects are followed to other addresses of HTTP and HTTPS. The proxies of the environment are
    used.

    Args:
        url: text.
        seconds: how long it may take in all: names, redirects, headers and body.
        most_bytes: how many the body may have.

    Raises:
        OSError: it can't be read, takes too long, is too large or ends before its stated length.
    """
    sockets, found = [], {}

    def work():
        try:
            found["contents"] = _contents(url, _opener(sockets), seconds, most_bytes)
        except Exception as error:
            found["error"] = error

    # In a thread, since neither the look-up of a name nor headers that come byte by byte have a
    # time limit of their own.
    thread = threading.Thread(target=work, name=THREAD, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        raise OSError(f"no complete answer within {seconds:g} seconds")
    # Besides `OSError` those of `http.client`, and `ValueError` for addresses that are none.
    if "error" in found:
        raise OSError(str(found["error"]) or repr(found["error"])) from found["error"]
    return found["contents"]


def _contents(url, opener, seconds, most_bytes):
    # Some hosts (Wikimedia among them) refuse urllib's own name.
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
    """Returns an opener without the handlers of files, FTP and data that urllib's own has."""
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
    """Opens addresses of HTTP and HTTPS, and keeps their sockets in a list."""

    def __init__(self, sockets):
        super().__init__()
        self._sockets = sockets

    def http_open(self, request):
        return self.do_open(_kept(http.client.HTTPConnection, self._sockets), request)

    def https_open(self, request):
        return self.do_open(_kept(http.client.HTTPSConnection, self._sockets), request)

    http_request = https_request = urllib.request.AbstractHTTPHandler.do_request_


def _kept(connection, sockets):
    """Returns a class of connections that puts its sockets into a list."""

    class Kept(connection):
        def connect(self):
            super().connect()
            sockets.append(self.sock)

    return Kept


class _RedirectHandler(urllib.request.HTTPRedirectHandler):
    """Follows redirects to HTTP and HTTPS alone, and doesn't read what comes along with them."""

    def http_error_302(self, request, response, code, text, headers):
        # Python reads that whole, however long it is.
        response.close()
        return super().http_error_302(request, response, code, text, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(self, request, response, code, text, headers, url):
        if urllib.parse.urlsplit(url).scheme not in SCHEMES:
            raise OSError(f"it leads to {url!r}, which is no address of HTTP or HTTPS")
        return super().redirect_request(request, response, code, text, headers, url)
