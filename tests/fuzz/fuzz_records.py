"""Fuzzes what reads packed records and setups, led by the coverage of their code; `make soak`.

Arguments are those of libFuzzer: `-max_total_time=60`, a folder of inputs.
"""

import contextlib
import json
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["keras_attnviz"]):
    from keras_attnviz.log.deduplication import reference
    from keras_attnviz.tb_plugin.packing import PackingError, pack, quantize, unpack
    from keras_attnviz.tb_plugin.validation import (
        UnreadableError,
        check_epoch,
        read_heat,
        read_setup,
    )

SETUP = {
    "version": 2,
    "grid": [1, 2],
    "head_grid": [1, 2],
    "token_grid": [1, 2],
    "layers": [{"path": "a", "heads": 1}],
    "methods": ["rollout"],
    "probes": [{"name": "a"}],
    "series": [{"name": "drift", "axes": ["probe"]}],
    "full": None,
}


def read(data):
    """Reads bytes as each kind of data; whatever else is raised ends the fuzzing."""
    reads = (
        lambda: unpack(data),
        lambda: read_setup(data),
        lambda: read_heat(data, step=0, setup=SETUP),
        lambda: check_epoch(data, step=0, setup=SETUP),
        lambda: reference(data, layers=1),
    )
    for each in reads:
        with contextlib.suppress(PackingError, UnreadableError):
            each()


def begin(folder):
    """Writes the inputs to begin with."""
    codes, highest = quantize([[1.0, 2.0]])
    (folder / "heat").write_bytes(pack({"heat": codes, "heat/highest": highest}, step=0))
    (folder / "setup").write_bytes(json.dumps(SETUP).encode())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        begin(Path(folder))
        atheris.Setup([*sys.argv, folder], read)
        atheris.Fuzz()
