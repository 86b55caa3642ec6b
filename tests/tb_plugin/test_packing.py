import json
import struct

import numpy as np
import pytest

from keras_attnviz.tb_plugin.packing import PackingError, dequantize, pack, quantize, unpack

pytestmark = pytest.mark.one_stack


def test_packed_bytes_by_hand():
    data = pack({"a": np.uint8([1, 2, 3]), "b": np.float32([[0.5]])}, step=-1)
    assert data[:4] == b"KATN"
    (length,) = struct.unpack("<I", data[4:8])
    assert (8 + length) % 8 == 0
    assert json.loads(data[8 : 8 + length]) == {
        "step": -1,
        "arrays": {
            "a": {"dtype": "uint8", "shape": [3], "offset": 0},
            "b": {"dtype": "float32", "shape": [1, 1], "offset": 8},
        },
    }
    body = data[8 + length :]
    assert body == bytes([1, 2, 3, 0, 0, 0, 0, 0]) + struct.pack("<f", 0.5) + bytes(4)


def test_what_is_packed_is_unpacked():
    arrays = {
        "codes": np.arange(7, dtype=np.uint8),
        "classes": np.int32([[-1, 5]]),
        "values": np.float32([np.nan, np.inf, 0.25]),
        "nothing": np.zeros((0, 4), np.float32),
    }
    found, fields = unpack(pack(arrays, names=["\N{GREEK SMALL LETTER ALPHA}"], deep={"x": None}))
    assert fields == {"names": ["\N{GREEK SMALL LETTER ALPHA}"], "deep": {"x": None}}
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_other_dtypes_are_refused():
    with pytest.raises(ValueError, match=r"of uint8, int32, float32\. Received: 'a' of float64"):
        pack({"a": np.zeros(2)})


GOOD = pack({"a": np.arange(20, dtype=np.float32)}, step=3)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"KATN",
        b"PNG\r" + GOOD[4:],
        GOOD[:-1],
        GOOD[:-80],
        GOOD[:20],
        b"KATN" + struct.pack("<I", 2**31) + GOOD[8:],
        GOOD.replace(b'"float32"', b'"float64"'),
        GOOD.replace(b'"shape": [20]', b'"shape": [99]'),
        GOOD.replace(b'"shape": [20]', b'"shape": [-1]'),
        GOOD.replace(b'"offset": 0', b'"offset": 8'),
        GOOD.replace(b'"offset": 0', b'"offset":-8'),
        GOOD.replace(b'"arrays"', b'"arrows"'),
        GOOD.replace(b'{"step"', b'["step"'),
    ],
)
def test_what_is_damaged_is_refused(data):
    assert data != GOOD
    with pytest.raises(PackingError):
        unpack(data)


def test_quantization_by_hand():
    codes, highest = quantize([[0, 1, 4, 16], [0, 0, 0, 0], [np.nan, 2, np.inf, -1]])
    np.testing.assert_array_equal(codes, [[0, 64, 128, 255], [0] * 4, [0, 255, 0, 0]])
    np.testing.assert_array_equal(highest, [16, 0, 2])
    np.testing.assert_allclose(dequantize(codes, highest)[:, 3], [16, 0, 0])


def test_the_error_stays_within_the_stated_bound():
    generator = np.random.default_rng(0)
    scores = generator.normal(0, 1, (500, 197))
    values = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True) * 197
    codes, highest = quantize(values)
    found = dequantize(codes, highest)
    top = highest[:, np.newaxis]
    bound = top * (2 * np.sqrt(values / top) + 1 / 510) / 510
    assert (np.abs(found - values) <= bound * (1 + 1e-4)).all()
    assert np.median(np.abs(found - values) / values) < 0.02


@pytest.mark.parametrize(
    "header",
    [
        '{"arrays": {"a": {"dtype": "uint8", "shape": [18446744073709551616], "offset": 0}}}',
        '{"arrays": {"a": {"dtype": "uint8", "shape": [1], "offset": 18446744073709551616}}}',
        "[" * 100_000,
    ],
    ids=["shape", "offset", "nesting"],
)
def test_numbers_and_depths_beyond_reason_are_no_record(header):
    data = b"KATN" + len(header).to_bytes(4, "little") + header.encode() + bytes(8)
    with pytest.raises(PackingError, match=r"The record can't be read"):
        unpack(data)
