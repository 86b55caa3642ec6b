"""Picture files of any content: they are read, or refused with a `ValueError`."""

import contextlib
import io
import zlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.fuzzing import counted, fuzzed, mutated

from keras_attnviz.data.images import decode_image, read_image

# What Pillow says of damages that it reads over.
pytestmark = [pytest.mark.one_stack, pytest.mark.filterwarnings("ignore")]

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 16, 4), np.uint8)
PICTURE = Image.fromarray(PIXELS)


def exif():
    data = Image.Exif()
    data[0x010F], data[0x0112] = "A phone", 6
    return data


def encoded(picture, kind, **options):
    data = io.BytesIO()
    picture.save(data, kind, **options)
    return data.getvalue()


FILES = {
    "png": encoded(PICTURE, "PNG", exif=exif()),
    "palette png": encoded(PICTURE.convert("RGB").quantize(9), "PNG", bits=4, transparency=1),
    "grey png": encoded(Image.fromarray(PIXELS[..., 0].astype("uint16") * 256), "PNG"),
    "jpeg": encoded(PICTURE.convert("RGB"), "JPEG", exif=exif()),
    "progressive jpeg": encoded(PICTURE.convert("CMYK"), "JPEG", progressive=True),
    "gif": encoded(PICTURE.convert("RGB"), "GIF"),
    "webp": encoded(PICTURE, "WEBP", exif=exif()),
    "bmp": encoded(PICTURE.convert("RGB"), "BMP"),
}


def read(path, data):
    """Reads a file; only a `ValueError` about it may come of that."""
    path.write_bytes(data)
    try:
        pixels = read_image(path, (4, 4))
    except ValueError as error:
        if "an intact JPEG or PNG picture" not in str(error):
            raise AssertionError from error
        return False
    assert pixels.shape == (4, 4, 3)
    assert pixels.dtype == np.uint8
    return True


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("pictures") / "picture"


@pytest.mark.parametrize("kind", FILES)
def test_the_whole_files_are_read(path, kind):
    assert read(path, FILES[kind])


@fuzzed(100)
@given(data=st.binary(max_size=200))
@counted
def test_any_bytes(path, data):
    read(path, data)


@fuzzed(60)
@given(begin=st.sampled_from(list(FILES.values())), data=st.binary(max_size=200))
@counted
def test_any_bytes_behind_a_beginning(path, begin, data):
    read(path, begin[:16] + data)


@pytest.mark.parametrize("kind", FILES)
@fuzzed(80)
@given(data=st.data())
@counted
def test_a_damaged_file(path, kind, data):
    read(path, data.draw(mutated(FILES[kind])))


def chunks_of(data):
    """Returns the chunks of a PNG file, a list of `(kind, content)`."""
    chunks, place = [], 8
    while place < len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    return chunks


def png_of(chunks):
    """Returns a PNG file with checksums that are right."""
    parts = [
        len(content).to_bytes(4, "big")
        + kind
        + content
        + zlib.crc32(kind + content).to_bytes(4, "big")
        for kind, content in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("kind", ["png", "palette png", "grey png"])
@fuzzed(80)
@given(data=st.data())
@counted
def test_damaged_chunks_with_checksums_that_are_right(path, kind, data):
    chunks = chunks_of(FILES[kind])
    index = data.draw(st.sampled_from(range(len(chunks))))
    name, content = chunks[index]
    chunks[index] = (name, data.draw(mutated(content)))
    kinds = st.sampled_from(
        [b"tRNS", b"PLTE", b"eXIf", b"iCCP", b"zTXt", b"acTL", b"fcTL", b"IDAT"]
    )
    extra = st.lists(st.tuples(kinds, st.binary(max_size=30)), max_size=2)
    chunks[1:1] = data.draw(extra)
    read(path, png_of(chunks))


@fuzzed(60)
@given(tiff=st.one_of(st.binary(max_size=80), mutated(exif().tobytes())))
@counted
def test_damaged_exif_data(path, tiff):
    segment = b"\xff\xe1" + (len(tiff) + 2).to_bytes(2, "big") + tiff
    read(path, FILES["jpeg"][:2] + segment + FILES["jpeg"][2:])
    read(path, png_of([chunks_of(FILES["png"])[0], (b"eXIf", tiff), *chunks_of(FILES["png"])[1:]]))


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def decoded(data):
    return decode_image(data, (4, 4))


@fuzzed(60)
@given(data=st.sampled_from(list(FILES.values())).flatmap(mutated))
@counted
def test_in_a_graph_a_damaged_file_is_an_error_of_tensorflow(data):
    with contextlib.suppress(tf.errors.OpError):
        assert decoded(data).shape == (4, 4, 3)
