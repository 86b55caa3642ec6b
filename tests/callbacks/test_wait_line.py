"""The wait line: printed where one waits, and completed."""

import re
import time

import pytest

from keras_attnviz.callbacks import wait_line as module
from keras_attnviz.callbacks.wait_line import wait_line

pytestmark = pytest.mark.one_stack


@pytest.fixture(autouse=True)
def short_silence(monkeypatch):
    monkeypatch.setattr(module, "_SILENCE", 0.05)


def test_a_long_wait_is_told_and_completed(capsys):
    with wait_line("Reading"):
        time.sleep(0.5)
        assert capsys.readouterr().out == "Reading ..."
    assert re.fullmatch(r" \d s\n", capsys.readouterr().out)


def test_a_short_one_is_not(capsys):
    with wait_line("Reading"):
        pass
    time.sleep(0.2)
    assert capsys.readouterr().out == ""


def test_a_quiet_one_is_not(capsys):
    with wait_line("Reading", is_quiet=True):
        time.sleep(0.2)
    assert capsys.readouterr().out == ""


def test_an_error_completes_the_line(capsys):
    def fail():
        with wait_line("Reading"):
            time.sleep(0.3)
            raise ValueError("why")

    with pytest.raises(ValueError, match="why"):
        fail()
    assert re.fullmatch(r"Reading \.\.\. \d s\n", capsys.readouterr().out)
