"""Files from web servers that lie, stall, never end or lead elsewhere."""

import threading
import time
import urllib.request

import pytest
from support.memory import at_most
from support.trap_servers import dripping, endless, replies, trap

from keras_attnviz.data.download import THREAD, downloaded
from keras_attnviz.data.images import read_image

pytestmark = pytest.mark.one_stack

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LIMITS = {"seconds": 10, "most_bytes": 1000}


PYTHON_FOLLOWS = [
    code
    for code in (301, 302, 303, 307, 308)
    if hasattr(urllib.request.HTTPRedirectHandler, f"http_error_{code}")
]


def test_a_body_is_read_up_to_its_stated_length():
    body = bytes(range(250)) * 4
    with trap(replies("200 OK", ["Content-Length: 1000"], body)) as address:
        assert downloaded(address, **LIMITS) == body
    with trap(replies("200 OK", ["Content-Length: 300"], body)) as address:
        assert downloaded(address, **LIMITS) == body[:300]
    with trap(replies("200 OK", [], body)) as address:
        assert downloaded(address, **LIMITS) == body


@pytest.mark.parametrize("code", PYTHON_FOLLOWS)
def test_redirects_to_the_web_are_followed(code):
    with trap(replies("200 OK", [], b"there")) as there:
        headers = [f"Location: {there}/x", "Content-Length: 0"]
        with trap(replies(f"{code} Elsewhere", headers)) as address:
            assert downloaded(address, **LIMITS) == b"there"


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "target", ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:text/plain,x", "javascript:1"]
)
def test_redirects_elsewhere_are_refused(target, code):
    with (
        trap(replies(f"{code} Elsewhere", [f"Location: {target}"])) as address,
        pytest.raises(OSError, match=r"not an HTTP or HTTPS address|Elsewhere"),
    ):
        downloaded(address, **LIMITS)


@pytest.mark.parametrize(
    "address",
    ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:text/plain,x", "gopher://x", "x", ""],
)
def test_other_addresses_are_refused(address):
    with pytest.raises(OSError, match=r"unknown url type"):
        downloaded(address, **LIMITS)


def test_a_redirect_to_itself_ends():
    loop = replies("302 Found", ["Location: /again", "Content-Length: 0"])
    with trap(loop) as address, pytest.raises(OSError, match=r"infinite loop"):
        downloaded(address, **LIMITS)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (replies("200 OK", ["Content-Length: 1001"], bytes(1001)), r"1001 bytes, where at most"),
        (replies("200 OK", ["Content-Length: 99999999999999"]), r"at most 1000 are read"),
        (replies("200 OK", [], bytes(1001)), r"more than 1000 bytes"),
        (endless(OK + b"\r\n"), r"more than 1000 bytes"),
        (endless(CHUNKED, b"ff\r\n" + bytes(255) + b"\r\n"), r"more than 1000 bytes"),
        (endless(CHUNKED + b"f" * 400 + b"\r\n"), r"more than 1000 bytes|IncompleteRead|too"),
        (endless(OK + b"A: ", b"b" * 100), r"header line|got more than"),
        (endless(OK, b"A: b\r\n"), r"more than 100 headers"),
        (endless(b"HTTP/1.1 200 ", b"x" * 100), r"status line|got more than"),
        (replies("200 OK", ["Content-Length: 900"], bytes(100)), r"800 bytes before its stated"),
        (replies("200 OK", ["Transfer-Encoding: chunked"], b"zz\r\nab"), r"IncompleteRead|zz"),
        (replies("404 Not There", [], bytes(10)), r"HTTP Error 404"),
        (lambda connection: connection.sendall(b"\x00\xffgarbage\r\n\r\n"), r"garbage"),
        (lambda connection: None, r"."),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_file_of_a_fit_size_is_an_error(answer, reason):
    begin = time.monotonic()
    with trap(answer) as address, pytest.raises(OSError, match=reason):
        downloaded(address, **LIMITS)
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize(
    "answer",
    [
        dripping(b"", b""),
        dripping(b"HTTP/1.1 2", b"0"),
        dripping(OK, b"A: b\r\n"),
        dripping(OK + b"Content-Length: 900\r\n\r\n", b"x"),
        dripping(CHUNKED, b"1\r\nx\r\n"),
        dripping(CHUNKED + b"0\r\n", b"A: b\r\n"),
        dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n", seconds=0.001),
    ],
    ids=["nothing", "status", "headers", "body", "chunks", "trailers", "continue"],
)
def test_a_slow_answer_ends_in_time_and_leaves_no_thread(answer):
    with trap(answer) as address:
        begin = time.monotonic()
        with pytest.raises(OSError, match=r"no complete answer within 0\.4 seconds"):
            downloaded(address, seconds=0.4, most_bytes=1000)
        assert time.monotonic() - begin < 2
    for _ in range(100):
        if not any(each.name == THREAD for each in threading.enumerate()):
            return
        time.sleep(0.05)
    raise AssertionError(threading.enumerate())


def test_an_endless_body_beside_a_redirect_is_not_read():
    with trap(replies("200 OK", [], b"there")) as there:
        head = f"HTTP/1.1 302 Found\r\nLocation: {there}\r\n\r\n".encode()
        with trap(endless(head)) as address, at_most(megabytes=200):
            assert downloaded(address, **LIMITS) == b"there"


def test_a_server_without_encryption_is_no_https():
    with trap(replies("200 OK", [], b"x")) as address, pytest.raises(OSError, match=r"(?i)ssl"):
        downloaded(address.replace("http:", "https:"), **LIMITS)


def test_a_picture_from_an_endless_address_is_an_error_that_names_it():
    with (
        trap(endless(OK + b"\r\n")) as address,
        pytest.raises(OSError, match=rf"an address that can be read.*{address}.*67108864 bytes"),
    ):
        read_image(address)


@pytest.mark.parametrize(
    "address", ["http://", "http://[", "http://x:y/", "http://a b/", "http://ä\n/", "HTTP://\x00"]
)
def test_addresses_that_are_none_are_named(address):
    with pytest.raises(OSError, match=r"`image` must be an address that can be read"):
        read_image(address)
