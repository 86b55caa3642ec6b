"""Picture files read by Pillow into 8-bit RGB pixels."""

import io
import os
import struct

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

from keras_attnviz._checks import image_size_pair, message
from keras_attnviz.data.download import SCHEMES, downloaded

_URL_SECONDS = 60
_URL_BYTES = 64 * 2**20
# Pillow reads many more formats; it runs other programs for some of them.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "WEBP")
# What Pillow raises for files that are broken, too large or no pictures.
_BROKEN = (
    ArithmeticError,
    EOFError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
    IndexError,
    KeyError,
    MemoryError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)


def decode_image(contents, image_size):
    """Returns the pixels of a picture file inside a graph, decoded as by `read_image`.

    Args:
        contents: scalar string tensor, the bytes of the file.
        image_size: `(height, width)`, two Python integers.

    Returns:
        uint8 tensor `[height, width, 3]`.

    Raises:
        tf.errors.OpError: the contents can't be decoded; raised when the graph runs.
    """

    def decode(given):
        # In a graph, `given` is bytes; when run eagerly, an array of one entry.
        return _decoded(np.asarray(given, object).item(), image_size)

    pixels = tf.numpy_function(decode, [contents], tf.uint8, stateful=False)
    return tf.ensure_shape(pixels, [*image_size, 3])


def read_image(path_or_url, image_size=None):
    """Returns the pixels of a picture from a file or from an `http://` or `https://` address.

    Gray, palette, 16-bit and CMYK pictures become 8-bit RGB; of 16 bits, the upper eight stay.
    Transparent pixels are composited on white. The EXIF orientation that phones write is applied.
    Resizing is bilinear with antialiasing and doesn't keep the aspect ratio.

    Args:
        path_or_url: path or address of a JPEG or PNG file; BMP, GIF and WebP are read too. At
            most 64 MiB are read from an address, within a minute. Redirects are followed to HTTP
            and HTTPS alone.
        image_size: one integer or `(height, width)`; None keeps the picture's size.

    Returns:
        uint8 array `[height, width, 3]`.

    Raises:
        FileNotFoundError: the file doesn't exist.
        OSError: the file or address can't be read.
        ValueError: the contents aren't a picture, the picture has more pixels than
            `PIL.Image.MAX_IMAGE_PIXELS`, or `image_size` isn't a size.
    """
    size = None if image_size is None else image_size_pair(image_size)
    contents = _contents(path_or_url)
    try:
        return _decoded(contents, size)
    except _BROKEN as error:
        must = "an intact JPEG or PNG picture"
        reason = f"{error}." if isinstance(error, _TooLargeError) else ""
        raise ValueError(message("image", must, os.fspath(path_or_url), reason)) from error


def resize_image(picture, image_size):
    """Returns a uint8 picture `[height, width, 3]` resized as `read_image` does."""
    height, width = image_size
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))


def check_exists(path_or_url):
    """Raises a `FileNotFoundError` unless the file exists, or it is a web address."""
    address = os.fspath(path_or_url)
    if not _is_url(address) and not os.path.isfile(address):
        raise FileNotFoundError(message("image", "an existing file or a web address", address))


def _is_url(address):
    return address.lower().startswith(tuple(f"{scheme}://" for scheme in SCHEMES))


def _contents(path_or_url):
    check_exists(path_or_url)
    address = os.fspath(path_or_url)
    if _is_url(address):
        return _downloaded(address)
    with open(address, "rb") as file:
        return file.read()


def _downloaded(url):
    try:
        return downloaded(url, seconds=_URL_SECONDS, most_bytes=_URL_BYTES)
    except OSError as error:
        remedy = f"The answer was: {error}. Download the picture and give its path."
        raise OSError(message("image", "an address that can be read", url, remedy)) from error


class _TooLargeError(ValueError):
    """A picture with more pixels than are decoded."""


def _decoded(contents, image_size):
    with Image.open(io.BytesIO(contents), formats=_FORMATS) as image:
        _check_pixels(image.size)
        pixels = np.asarray(_rgb(ImageOps.exif_transpose(image)))
    return pixels if image_size is None else resize_image(pixels, image_size)


def _check_pixels(size):
    """Raises for a picture of too many pixels, before its few bytes become gigabytes."""
    most = Image.MAX_IMAGE_PIXELS
    if most is not None and size[0] * size[1] > most:
        raise _TooLargeError(
            f"It has {size[0]} x {size[1]} pixels, at most {most} are decoded; if you trust it, "
            "raise PIL.Image.MAX_IMAGE_PIXELS"
        )


def _rgb(image):
    if image.mode.startswith("I"):
        # Pillow would clip values above 255.
        image = Image.fromarray((np.asarray(image) // 256).astype(np.uint8))
    if image.has_transparency_data:
        layers = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers)
    return image.convert("RGB")
