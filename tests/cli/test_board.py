"""TensorBoard as the command starts it, asked over HTTP."""

import contextlib
import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from keras_attnviz.cli.board import DEFAULT_PORT, free_port, tensorboard_command
from keras_attnviz.drawing.render import png_bytes
from keras_attnviz.log.event_writer import AttentionWriter

pytestmark = pytest.mark.one_stack

COMMAND = Path(sys.executable).parent / "keras-attnviz"
EPOCHS = 15


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory):
    """A log of fifteen epochs, more than TensorBoard keeps by default."""
    path = tmp_path_factory.mktemp("logs of cats")
    writer = AttentionWriter(str(path), first_step=-1)
    picture = png_bytes(np.zeros((8, 8, 3), "uint8"))
    for step in range(-1, EPOCHS - 1):
        writer.image(step, "attention/cat", picture, size=(8, 8), description="a cat")
    writer.close()
    return path


def asked(address):
    with urllib.request.urlopen(address, timeout=30) as response:
        return json.loads(response.read())


def test_the_board_serves_every_epoch(log_dir):
    # No proxy on the way to localhost; a free port, which TensorBoard prints.
    process = subprocess.Popen(
        [COMMAND, "board", log_dir, "--port", "0"], stderr=subprocess.PIPE, text=True
    )
    try:
        lines = []
        for line in process.stderr:
            lines.append(line)
            address = re.search(r"TensorBoard \S+ at (http://localhost:\d+/)", line)
            if address:
                break
        else:
            pytest.fail("".join(lines))
        images = f"{address[1]}data/plugin/images/"
        entries = []
        for _ in range(60):  # TensorBoard reads the files while it answers
            if "attention" in asked(f"{images}tags"):
                entries = asked(f"{images}images?run=attention&tag=attention/cat")
            if len(entries) == EPOCHS:
                break
            time.sleep(0.25)
        assert [entry["step"] for entry in entries] == list(range(-1, EPOCHS - 1))
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stderr.close()


@pytest.fixture
def taken():
    """A port on which something listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def default_port_taken():
    with socket.socket() as server:
        with contextlib.suppress(OSError):  # something else has it already
            server.bind(("127.0.0.1", DEFAULT_PORT))
            server.listen()
        yield


def is_free(port):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))
    return True


def test_a_port_that_is_free_is_taken_without_a_word(capsys):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert free_port(port) == port
    assert free_port(default=port) == port
    assert free_port(port, host="127.0.0.1") == port
    assert free_port(0) == 0
    assert capsys.readouterr().out == ""


def test_in_place_of_a_default_port_that_is_taken_a_free_one_is_named(taken, capsys):
    port = free_port(default=taken)
    assert is_free(port)
    said = capsys.readouterr().out
    assert said == f"Port {taken} is taken; TensorBoard will use port {port}.\n"


def test_a_port_that_was_asked_for_must_be_free(taken):
    for host in ("localhost", "0.0.0.0"):
        match = rf"`port` must be a free port on {host}\. Received: port={taken}\. .*Choose another"
        with pytest.raises(ValueError, match=match):
            free_port(taken, host=host)


# 192.0.2.1 is kept for documentation.
@pytest.mark.parametrize("host", ["no such.host", "192.0.2.1"])
def test_a_host_must_be_of_this_machine(host, taken):
    match = rf"`host` must be a name or address of this machine\. Received: host='{host}'"
    for options in ({}, {"port": taken}, {"default": taken}):
        with pytest.raises(ValueError, match=match):
            free_port(**options, host=host)


def test_the_board_takes_a_free_port_in_place_of_a_default_one(log_dir, default_port_taken):
    process = subprocess.Popen(
        [COMMAND, "board", log_dir], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        first, second = process.stdout.readline(), process.stdout.readline()
        port = int(re.search(rf"^Port {DEFAULT_PORT} is taken; .* use port (\d+)\.$", first)[1])
        assert second == f"Starting TensorBoard at http://localhost:{port}/\n"
        for line in process.stderr:
            if f"at http://localhost:{port}/" in line:
                break
        assert isinstance(asked(f"http://localhost:{port}/data/runs"), list)
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"log_dir": "/nowhere"}, ValueError, r"`log_dir` must be an existing directory"),
        ({"port": -1}, ValueError, r"`port` must be at least 0\. Received: port=-1"),
        ({"port": 70000}, ValueError, r"`port` must be at most 65535"),
        ({"port": "http"}, TypeError, r"`port` must be an integer"),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path, options, error, match):
    with pytest.raises(error, match=match):
        tensorboard_command(**({"log_dir": tmp_path} | options))
