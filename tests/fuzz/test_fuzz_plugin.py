"""Requests of any kind to the Attention tab's routes: an answer, never a fault of the server."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.attention_logs import EventFile, MadeUpTraining, write_log
from support.fuzzing import changed_json, counted, fuzzed, mutated
from support.plugin_server import ROUTE, Tab, slow_loader

from keras_attnviz.tb_plugin import metadata

pytestmark = pytest.mark.one_stack

TRAINING = MadeUpTraining(
    names=("a", "b"), grid=(2, 2), methods=("rollout",), full_probes=(1,), frozen=1
)
ROUTES = ("runs", "setup", "epochs", "heat", "keys", "blobs", "index.js", "style.css", "")
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "X", "get")
NAMES = ("run", "method", "probe", "kind", "layer", "key", "x", "", "RUN", "run[]", "__proto__")
PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "Accept",
            "Accept-Encoding",
            "Accept-Language",
            "Authorization",
            "Cookie",
            "Host",
            "If-Modified-Since",
            "If-None-Match",
            "Origin",
            "Range",
            "Referer",
            "Transfer-Encoding",
            "X-Forwarded-For",
            "X-Forwarded-Prefix",
            "X-HTTP-Method-Override",
        ]
    ),
    st.one_of(PRINTABLE, st.sampled_from(["gzip", "bytes=0-1,5-", "bytes=-1", "*", "DELETE"])),
    max_size=4,
)


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    write_log(folder, (-1, 0), names=("a", "b"), grid=(2, 2), full_probes=(1,), frozen=1)
    with slow_loader(folder) as source:
        yield Tab(source)


def test_the_key_that_is_changed_is_one(tab):
    assert (
        as_key(json.dumps(KEY, separators=(",", ":")))
        in tab.json("setup", run="attention")["pictures"]
    )


def check(response):
    """Holds what is true of every answer."""
    assert response.status_code < 500, response.text
    assert b"Traceback" not in response.data
    assert response.headers.get("X-Content-Type-Options") == "nosniff"
    assert response.mimetype in {
        "application/json",
        "application/octet-stream",
        "text/css",
        "text/javascript",
        "text/plain",
        "text/html" if response.status_code in (301, 302, 308) else "",
    }


VALUES = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["attention", "rollout", "heads", "tokens", "full", "0", "1", "-1", "9" * 30]),
    st.sampled_from(["../..", "\x00", "\r\nSet-Cookie: a=b", "<script>", "%00", "\ud800"]),
)
KNOWN = st.fixed_dictionaries(
    {},
    optional={
        "run": st.one_of(st.just("attention"), VALUES),
        "method": st.one_of(st.just("rollout"), VALUES),
        "probe": st.one_of(st.sampled_from("012"), VALUES),
        "kind": st.one_of(st.sampled_from(["heads", "tokens", "full"]), VALUES),
        "layer": st.one_of(st.sampled_from("012"), VALUES),
    },
)


@fuzzed(300)
@given(
    method=st.sampled_from(METHODS),
    route=st.sampled_from(ROUTES),
    query=st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=5),
    known=KNOWN,
    headers=HEADERS,
    body=st.binary(max_size=20),
)
@counted
def test_known_routes_with_any_query(tab, method, route, query, known, headers, body):
    pairs = [*known.items(), *query]
    encoded = "&".join(f"{quoted(name)}={quoted(value)}" for name, value in pairs)
    response = tab.client.open(
        ROUTE + route, method=method, query_string=encoded, headers=headers, data=body
    )
    check(response)


def quoted(text):
    return "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))


@fuzzed(150)
@given(
    method=st.sampled_from(METHODS[:4]),
    path=st.one_of(
        PRINTABLE,
        st.lists(
            st.sampled_from(["..", ".", "", "%2e%2e", "index.js", "vendor", "runs", "etc", "\\"]),
            max_size=6,
        ).map("/".join),
    ),
    query=PRINTABLE,
)
@counted
def test_any_path_below_the_tab(tab, method, path, query):
    response = tab.client.open(
        ROUTE + path.split("?")[0].replace("#", ""), method=method, query_string=query
    )
    if response.status_code != 404 or response.mimetype == "text/plain":
        check(response)
    assert response.status_code < 500
    assert b"root:" not in response.data


# The keys of blobs are such lists in base64.
KEY = ["", "attention", "attention", metadata.SETUP_TAG, -1, 1]


def as_key(text):
    return base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode().rstrip("=")


@fuzzed(200)
@given(
    key=st.one_of(
        mutated(as_key(json.dumps(KEY)).encode()).map(lambda data: data.decode("latin-1")),
        changed_json(KEY).map(as_key),
    ),
    times=st.integers(1, 70),
)
@counted
def test_keys_like_those_that_are_there(tab, key, times):
    check(tab.get("blobs", key=[key] * times))


@fuzzed(25)
@given(text=changed_json(TRAINING.setup()), record=mutated(TRAINING.heat(0, "rollout")))
@counted
def test_logs_with_other_values(tmp_path_factory, text, record):
    folder = tmp_path_factory.mktemp("logs")
    with EventFile(folder / "attention") as file:
        TRAINING.write(file, (-1, 0))
        file.blobs(0, metadata.SETUP_TAG, [text.encode("utf-8", "surrogatepass"), b"x"])
        file.record(0, metadata.heat_tag("rollout"), record)
        file.record(1, metadata.EPOCH_TAG, record)
    with slow_loader(folder) as source:
        tab = Tab(source)
        options = {"run": "attention", "method": "rollout", "probe": "1"}
        check(tab.get("runs"))
        check(tab.get("setup", run="attention"))
        check(tab.get("epochs", run="attention"))
        check(tab.get("heat", **options))
        for kind in ("heads", "tokens", "full"):
            check(tab.get("keys", **options, kind=kind, layer="0"))
