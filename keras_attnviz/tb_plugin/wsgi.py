"""WSGI applications from functions and files: methods, parameters, content types, framing."""

import re
import struct

from tensorboard import errors
from tensorboard.backend import http_util
from werkzeug import wrappers

BINARY = "application/octet-stream"
_METHODS = ("GET", "HEAD")
_CONTENT_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".md": "text/plain",
    ".mjs": "text/javascript",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
    ".LICENSE": "text/plain",
    "": "text/plain",
}


def reading(answer):
    """Returns the WSGI application of a function from a request to a response; GET and HEAD only.

    TensorBoard turns the errors of `tensorboard.errors` into responses with their code and text.
    """

    @wrappers.Request.application
    def application(request):
        if request.method not in _METHODS:
            text = f"The method must be GET or HEAD. Received: {request.method}."
            allowed = [("Allow", ", ".join(_METHODS))]
            return http_util.Respond(request, text, "text/plain", code=405, headers=allowed)
        return answer(request)

    return application


def static_routes(folder):
    """Returns a dict from route to WSGI application, one exact route for each file in a folder.

    With a wildcard, a request could name a file outside the folder. The set of files is fixed
    here; each request reads a file's current content.
    """
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {f"/{path.relative_to(folder).as_posix()}": _file(path) for path in paths}


def _file(path):
    content_type = _CONTENT_TYPES.get(path.suffix, BINARY)

    @reading
    def application(request):
        return http_util.Respond(request, path.read_bytes(), content_type)

    return application


def text_parameter(request, name):
    """Returns a parameter's text.

    Raises:
        InvalidArgumentError: the parameter is missing, empty, or given several times.
    """
    values = request.args.getlist(name)
    if len(values) != 1:
        raise errors.InvalidArgumentError(
            f"`{name}` must be given once. Received: {len(values)} times."
        )
    if not values[0]:
        raise errors.InvalidArgumentError(f"`{name}` must not be empty.")
    return values[0]


def choice_parameter(request, name, choices):
    """Returns a parameter that must be one of some texts; raises as `text_parameter` does."""
    value = text_parameter(request, name)
    if value not in choices:
        listed = ", ".join(choices)
        raise errors.InvalidArgumentError(f"`{name}` must be one of {listed}. Received: {value!r}.")
    return value


def index_parameter(request, name):
    """Returns a parameter in decimal digits as an integer; raises as `text_parameter` does."""
    value = text_parameter(request, name)
    if not re.fullmatch("[0-9]{1,9}", value):
        must = "a whole number, at most nine decimal digits"
        raise errors.InvalidArgumentError(f"`{name}` must be {must}. Received: {value[:50]!r}.")
    return int(value)


def list_parameter(request, name, *, limit):
    """Returns the texts of a parameter that must be given 1 to `limit` times.

    Raises:
        InvalidArgumentError: the parameter is missing, empty, or given too often.
    """
    values = request.args.getlist(name)
    if not 1 <= len(values) <= limit or not all(values):
        must = f"given 1 to {limit} times, and never be empty"
        raise errors.InvalidArgumentError(f"`{name}` must be {must}. Received: {len(values)}.")
    return values


def framed(parts):
    """Returns bytes: for each part its length, uint32 little-endian, then the part itself."""
    return b"".join(piece for part in parts for piece in (struct.pack("<I", len(part)), part))
