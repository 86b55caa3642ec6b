"""TensorBoard as the command starts it, asked over HTTP."""

import json
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from keras_attnviz.board import tensorboard_command
from keras_attnviz.events import AttentionWriter
from keras_attnviz.render import png_bytes

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
