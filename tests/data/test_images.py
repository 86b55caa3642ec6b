"""Picture files of every kind to the same pixels; TensorFlow's decoder is the second opinion."""

import contextlib
import os
import threading
import zlib
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import tensorflow as tf
from PIL import EpsImagePlugin, Image
from support.memory import at_most
from support.pictures import DATA, encoded, photograph

from keras_attnviz.data.images import decode_image, read_image, resize_image

pytestmark = pytest.mark.one_stack

SIZE = (48, 64)


def resized(picture):
    """The reference: the picture before it was encoded, resized by TensorFlow."""
    return tf.image.resize(np.asarray(picture), SIZE, antialias=True).numpy()


def decoded(contents):
    pixels = decode_image(tf.constant(contents), SIZE)
    assert pixels.dtype == tf.uint8
    assert pixels.shape == (*SIZE, 3)
    return pixels.numpy().astype("float32")


def half_transparent(picture):
    """Left half opaque, right half transparent over magenta."""
    pixels = np.array(picture.convert("RGBA"))
    middle = pixels.shape[1] // 2
    pixels[:, middle:] = [255, 0, 255, 0]
    return Image.fromarray(pixels)


CHELSEA = photograph("chelsea.png")
GREY = CHELSEA.convert("L")
PALETTE = CHELSEA.convert("P")
FEW_COLORS = CHELSEA.quantize(11)
SIXTEEN_BITS = Image.fromarray(np.asarray(GREY).astype("uint16") * 256 + 77)
LOSSLESS = {
    "rgb png": (encoded(CHELSEA, "PNG"), CHELSEA),
    "grey png": (encoded(GREY, "PNG"), GREY.convert("RGB")),
    "grey and alpha png": (encoded(CHELSEA.convert("LA"), "PNG"), GREY.convert("RGB")),
    "black and white png": (encoded(GREY.convert("1"), "PNG"), GREY.convert("1").convert("RGB")),
    "palette png": (encoded(PALETTE, "PNG"), PALETTE.convert("RGB")),
    "4-bit palette png": (encoded(FEW_COLORS, "PNG", bits=4), FEW_COLORS.convert("RGB")),
    "16-bit png": (encoded(SIXTEEN_BITS, "PNG"), GREY.convert("RGB")),
    "bmp": (encoded(CHELSEA, "BMP"), CHELSEA),
}


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_files_give_the_pixels_that_were_encoded(kind):
    contents, picture = LOSSLESS[kind]
    assert np.abs(decoded(contents) - resized(picture)).max() <= 1.01  # rounding


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"quality": 95, "subsampling": 0}], ids=str
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_files_give_the_colors_that_tensorflow_reads(mode, options):
    contents = encoded(CHELSEA.convert(mode), "JPEG", **options)
    reference = tf.io.decode_image(contents, channels=3)
    assert np.abs(decoded(contents) - resized(reference)).mean() < 1.5


def test_transparent_pixels_become_white():
    pixels = decoded(encoded(half_transparent(CHELSEA), "PNG"))
    assert (pixels[:, 34:] == 255).all()
    assert np.abs(pixels[:, :30] - resized(CHELSEA)[:, :30]).max() <= 1.01


def test_a_palette_with_a_transparent_color_becomes_white_there():
    picture = PALETTE.copy()
    commonest = int(np.bincount(np.asarray(picture).ravel()).argmax())
    contents = encoded(picture, "PNG", transparency=commonest)
    rgb = np.array(picture.convert("RGB"))
    rgb[np.asarray(picture) == commonest] = 255
    assert np.abs(decoded(contents) - resized(rgb)).max() <= 1.01


def exif(orientation, byte_order=">"):
    """EXIF data as phones write it: the orientation among other entries."""
    data = Image.Exif()
    data.endian = byte_order
    data[0x010F] = "A phone"
    data[0x0112] = orientation
    data[0x0132] = "2020:01:01 00:00:00"
    return data


# How pixels that lie as the EXIF orientation says are turned upright, by the EXIF standard.
UPRIGHT = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    7: lambda pixels: pixels.swapaxes(0, 1)[::-1, ::-1],
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation, byte_order):
    contents = encoded(photograph("coffee.png"), "JPEG", exif=exif(orientation, byte_order))
    assert (b"II*\x00" if byte_order == "<" else b"MM\x00*") in contents[:64]
    lying = tf.io.decode_image(contents).numpy()
    assert np.abs(decoded(contents) - resized(UPRIGHT[orientation](lying))).mean() < 1.5


def test_without_a_size_the_picture_keeps_its_own_upright(tmp_path):
    lying = encoded(photograph("coffee.png", (60, 40)), "JPEG", exif=exif(6))
    path = tmp_path / "lying.jpg"
    path.write_bytes(lying)
    pixels = read_image(path)
    upright = UPRIGHT[6](tf.io.decode_image(lying).numpy())
    assert pixels.shape == (60, 40, 3)
    assert np.abs(pixels.astype("float32") - np.asarray(upright)).mean() < 3
    np.testing.assert_array_equal(resize_image(pixels, SIZE), decoded(lying))
    np.testing.assert_array_equal(
        read_image(DATA / "chelsea.png"), np.asarray(photograph("chelsea.png"))
    )


def exif_segment(tiff):
    payload = b"Exif\x00\x00" + tiff
    return b"\xff\xe1" + (len(payload) + 2).to_bytes(2, "big") + payload


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    "tiff",
    [
        b"",
        b"MM",
        b"II*\x00\xff\xff\xff\xff",
        b"MM\x00*\x00\x00\x00\x08\xff\xff",
        b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x2a\x00\x00",
    ],
    ids=["empty", "cut short", "far directory", "many entries", "orientation 42"],
)
def test_broken_exif_data_leaves_the_picture_as_it_lies(tiff):
    plain = encoded(CHELSEA, "JPEG")
    tagged = plain[:2] + exif_segment(tiff) + plain[2:]
    np.testing.assert_array_equal(decoded(tagged), decoded(plain))


def test_words_that_look_like_exif_in_a_png_are_no_orientation():
    contents = encoded(CHELSEA, "PNG")
    tiff = b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x03\x00\x00"
    trailing = contents + b"Exif\x00\x00" + tiff
    np.testing.assert_array_equal(decoded(trailing), decoded(contents))


def test_decoding_traces_once_for_all_kinds_of_files():
    traces = []

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def graph(contents):
        traces.append(contents)
        return decode_image(contents, SIZE)

    for contents in (*(contents for contents, _ in LOSSLESS.values()), encoded(CHELSEA, "JPEG")):
        np.testing.assert_array_equal(graph(contents), decoded(contents))
    assert len(traces) == 1
    assert graph.get_concrete_function().output_shapes == (*SIZE, 3)


@pytest.mark.parametrize("name", ["cat.png", "CAT.PNG", "eine schöne Katze 猫.png"])
def test_read_image_takes_any_path(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(LOSSLESS["rgb png"][0])
    for given in (path, str(path)):
        pixels = read_image(given, SIZE)
        assert pixels.dtype == np.uint8
        assert np.abs(pixels - resized(CHELSEA)).max() <= 1.01
    assert read_image(path, 32).shape == (32, 32, 3)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def web():
    """The address of a real web server on scikit-image's pictures."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(DATA)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_read_image_takes_a_web_address(web):
    np.testing.assert_array_equal(
        read_image(f"{web}/chelsea.png", SIZE), read_image(DATA / "chelsea.png", SIZE)
    )


def test_a_web_address_without_a_picture_is_named(web):
    with pytest.raises(OSError, match=rf"an address that can be read.*{web}/nothing\.png.*404"):
        read_image(f"{web}/nothing.png", SIZE)
    with pytest.raises(ValueError, match=rf"an intact JPEG or PNG.*{web}/README\.txt"):
        read_image(f"{web}/README.txt", SIZE)


def test_an_address_nobody_answers_is_named(web):
    free_port = int(web.rsplit(":", 1)[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    free_port = server.server_port
    server.server_close()
    with pytest.raises(OSError, match=rf"127\.0\.0\.1:{free_port}/a\.png.*Download the picture"):
        read_image(f"http://127.0.0.1:{free_port}/a.png", SIZE)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"an existing file or a web address.*gone\.jpg"):
        read_image(tmp_path / "gone.jpg", SIZE)


@pytest.mark.parametrize(
    "contents",
    [b"", b"not a picture", encoded(CHELSEA, "JPEG")[:9000], encoded(CHELSEA, "PNG")[:9000]],
    ids=["empty", "text", "truncated jpeg", "truncated png"],
)
def test_a_file_without_a_picture_is_named(tmp_path, contents):
    path = tmp_path / "broken.jpg"
    path.write_bytes(contents)
    with pytest.raises(ValueError, match=r"an intact JPEG or PNG picture.*broken\.jpg"):
        read_image(path, SIZE)


def test_a_size_that_is_none_is_an_error():
    with pytest.raises(ValueError, match=r"`image_size` must be .* Received: image_size=0"):
        read_image(DATA / "chelsea.png", 0)


def png_of_zeros(width, height, *chunks):
    """Returns a PNG that claims a size, of little data."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x06\x00\x00\x00"
    data = zlib.compress(bytes(10**6), 9)
    parts = [(b"IHDR", header), *chunks, *[(b"IDAT", data)], (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(content).to_bytes(4, "big")
        + kind
        + content
        + zlib.crc32(kind + content).to_bytes(4, "big")
        for kind, content in parts
    )


@pytest.mark.filterwarnings("ignore:Image size")  # Pillow's own warning, before the error
@pytest.mark.parametrize("size", [(10_000, 9_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_a_picture_that_would_take_gigabytes_is_not_decoded(tmp_path, size):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of_zeros(*size))
    with (
        at_most(megabytes=100),
        pytest.raises(ValueError, match=r"an intact JPEG or PNG picture.*bomb\.png"),
    ):
        read_image(path, SIZE)


@pytest.mark.filterwarnings("ignore:Image size")
def test_a_picture_that_is_too_large_is_told_from_a_broken_one(tmp_path):
    path = tmp_path / "large.png"
    path.write_bytes(png_of_zeros(10_000, 9_000))
    with pytest.raises(ValueError, match=r"It has 10000 x 9000 pixels, .*MAX_IMAGE_PIXELS\.$"):
        read_image(path, SIZE)


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP", b"iTXt"])
def test_a_text_that_would_take_gigabytes_is_not_unpacked(tmp_path, kind):
    packing = zlib.compressobj(9)
    packed = b"".join(packing.compress(bytes(10**6)) for _ in range(200)) + packing.flush()
    between = b"\x01\x00\x00\x00" if kind == b"iTXt" else b"\x00"
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of_zeros(8, 8, (kind, b"a\x00" + between + packed)))
    with at_most(megabytes=100), contextlib.suppress(ValueError):
        read_image(path, SIZE)


def test_a_picture_that_is_a_program_is_not_run(tmp_path, monkeypatch):
    """Pillow would have PostScript drawn by Ghostscript."""
    mark, program = tmp_path / "ran", tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    path = tmp_path / "drawing.png"
    header = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    path.write_bytes(header)
    with pytest.raises(ValueError, match=r"an intact JPEG or PNG picture.*drawing\.png"):
        read_image(path, SIZE)
    assert not mark.exists()
