"""Picture files to 8-bit RGB pixels, inside a TensorFlow graph.

TensorFlow's decoder ignores the EXIF orientation that phones write, and drops the alpha channel
(so that whatever color lies under transparent pixels appears). Both are put right here.
"""

import os
import urllib.error
import urllib.request

import tensorflow as tf

from keras_attnviz._checks import image_size_pair, message

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_BIT_DEPTH_AT = 24
_JPEG_SIGNATURE = b"\xff\xd8\xff"
_EXIF_SIGNATURE = b"Exif\x00\x00"
# EXIF is the first or second segment of a JPEG file, and a segment ends within 64 KiB.
_EXIF_SEARCH_BYTES = 2**17
_ORIENTATION_TAG = 0x0112
_URL_TIMEOUT_SECONDS = 30


def decode_image(contents, image_size=None):
    """Decodes a picture file, turns it upright and resizes it.

    Grey, palette, 16-bit and CMYK pictures become 8-bit RGB (of 16 bits the upper eight stay).
    Transparent pixels of a PNG are composed on white. The EXIF orientation of a JPEG is applied.
    The resize is bilinear with antialiasing and doesn't keep the aspect ratio. BMP, GIF (its
    first frame) and whatever else TensorFlow's decoder knows is read too; a BMP with a palette
    comes out as its palette indices.

    Args:
        contents: scalar string tensor, the bytes of the file.
        image_size: `(height, width)`, two Python integers; None keeps the size.

    Returns:
        uint8 tensor `[height, width, 3]`.

    Raises:
        tf.errors.InvalidArgumentError: when run on contents that can't be decoded.
    """
    pixels = tf.cond(
        _starts_with(contents, _PNG_SIGNATURE),
        lambda: _png_on_white(contents),
        lambda: _opaque(contents),
    )
    orientation = _exif_orientation(contents)
    lies_sideways = orientation >= 5
    if image_size is None:
        return _upright(pixels, orientation, lies_sideways)
    # Resized before it is turned, since there are fewer pixels to turn then.
    height, width = image_size
    size = tf.where(lies_sideways, [width, height], [height, width])
    resized = tf.image.resize(pixels, size, antialias=True)
    upright = _upright(_as_pixels(resized), orientation, lies_sideways)
    return tf.ensure_shape(upright, [height, width, 3])


def resize_image(image, image_size):
    """Resizes a uint8 picture `[height, width, 3]` as `decode_image` does."""
    return _as_pixels(tf.image.resize(image, image_size, antialias=True))


def read_image(path_or_url, image_size=None):
    """Reads a picture from a file or from an `http://` or `https://` address.

    Args:
        path_or_url: path or address of a JPEG or PNG file.
        image_size: one integer or `(height, width)`; None keeps the size.

    Returns:
        uint8 array `[height, width, 3]`; see `decode_image` for how it is made.

    Raises:
        FileNotFoundError: the file doesn't exist.
        OSError: the file or address can't be read.
        ValueError: the contents aren't a picture, or `image_size` isn't a size.
    """
    size = None if image_size is None else image_size_pair(image_size)
    contents = _contents(path_or_url)
    try:
        return decode_image(tf.constant(contents), size).numpy()
    except tf.errors.InvalidArgumentError as error:
        must = "an intact JPEG or PNG picture"
        raise ValueError(message("image", must, os.fspath(path_or_url))) from error


def check_exists(path_or_url):
    """Raises a `FileNotFoundError` unless there is such a file, or it's a web address."""
    address = os.fspath(path_or_url)
    if not _is_url(address) and not os.path.isfile(address):
        raise FileNotFoundError(message("image", "an existing file or a web address", address))


def _is_url(address):
    return address.lower().startswith(("http://", "https://"))


def _contents(path_or_url):
    check_exists(path_or_url)
    address = os.fspath(path_or_url)
    if _is_url(address):
        return _downloaded(address)
    with open(address, "rb") as file:
        return file.read()


def _downloaded(url):
    # Some hosts (Wikimedia among them) refuse urllib's own name.
    request = urllib.request.Request(url, headers={"User-Agent": "keras-attnviz"})
    try:
        with urllib.request.urlopen(request, timeout=_URL_TIMEOUT_SECONDS) as response:
            return response.read()
    except (urllib.error.URLError, TimeoutError) as error:
        remedy = f"The answer was: {error}. Download the picture and give its path."
        raise OSError(message("image", "an address that can be read", url, remedy)) from error


def _as_pixels(values):
    return tf.cast(tf.clip_by_value(tf.round(values), 0, 255), tf.uint8)


def _starts_with(contents, signature):
    head = tf.strings.substr(contents, 0, len(signature))
    return tf.equal(head, tf.constant(signature))


def _opaque(contents):
    pixels = tf.io.decode_image(contents, channels=3, expand_animations=False)
    return tf.ensure_shape(pixels, [None, None, 3])


def _png_on_white(contents):
    """Returns uint8 `[h, w, 3]` of a PNG file, composed on white."""
    rgba = tf.io.decode_png(contents, channels=4)
    depth = tf.io.decode_raw(tf.strings.substr(contents, _PNG_BIT_DEPTH_AT, 1), tf.uint8)[0]
    # Where a file of 1, 2 or 4 bits has no alpha, the decoder fills in 1, 3 or 15, not 255.
    filler = 2 ** tf.cast(depth, tf.int32) - 1
    alpha = tf.cast(rgba[..., 3:], tf.int32)
    share = tf.cast(tf.where(alpha == filler, 255, alpha), tf.float32) / 255.0
    rgb = tf.cast(rgba[..., :3], tf.float32) * share + 255.0 * (1.0 - share)
    return tf.ensure_shape(tf.cast(tf.round(rgb), tf.uint8), [None, None, 3])


def _upright(image, orientation, lies_sideways):
    """Undoes an EXIF orientation (1 to 8) of `[h, w, 3]`: transpose, then mirror."""
    image = tf.cond(lies_sideways, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    image = tf.cond(
        tf.reduce_any(orientation == [2, 3, 6, 7]),
        lambda: tf.reverse(image, axis=[1]),
        lambda: image,
    )
    return tf.cond(
        tf.reduce_any(orientation == [3, 4, 7, 8]),
        lambda: tf.reverse(image, axis=[0]),
        lambda: image,
    )


def _exif_orientation(contents):
    """Returns the EXIF orientation of a JPEG file, an int32 scalar; 1 where there is none."""
    head = tf.io.decode_raw(tf.strings.substr(contents, 0, _EXIF_SEARCH_BYTES), tf.uint8)
    # Padding lets every comparison below have the same length.
    head = tf.pad(tf.cast(head, tf.int64), [[0, 16]])
    places = tf.size(head) - len(_EXIF_SIGNATURE)
    matches = [head[i : places + i] == byte for i, byte in enumerate(_EXIF_SIGNATURE)]
    found = tf.reduce_all(tf.stack(matches), axis=0)
    is_tagged = tf.reduce_any(found) & _starts_with(contents, _JPEG_SIGNATURE)
    start = tf.argmax(tf.cast(found, tf.int32), output_type=tf.int32) + len(_EXIF_SIGNATURE)
    return tf.cond(is_tagged, lambda: _tiff_orientation(head[start:]), lambda: 1)


def _tiff_orientation(tiff):
    """Returns the orientation in the first directory of a TIFF header, int64 bytes `[n]`."""

    def value_at(offset, size):
        indices = tf.expand_dims(offset, -1) + tf.range(size, dtype=tf.int64)
        digits = tf.gather(tiff, tf.clip_by_value(indices, 0, tf.size(tiff, tf.int64) - 1))
        digits = tf.cond(is_little_endian, lambda: tf.reverse(digits, [-1]), lambda: digits)
        return tf.reduce_sum(digits * 256 ** tf.range(size - 1, -1, -1, dtype=tf.int64), axis=-1)

    is_little_endian = tiff[0] == ord("I")
    directory = value_at(tf.constant(4, tf.int64), 4)
    entries = directory + 2 + 12 * tf.range(value_at(directory, 2))
    is_orientation = value_at(entries, 2) == _ORIENTATION_TAG
    values = tf.where(is_orientation, value_at(entries + 8, 2), 1)
    orientation = tf.reduce_max(tf.concat([values, [1]], axis=0))
    return tf.cast(tf.where(orientation <= 8, orientation, 1), tf.int32)
