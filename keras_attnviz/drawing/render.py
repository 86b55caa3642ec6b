"""Rendering: grids of numbers as color maps and overlays, captions, color bars, PNG."""

import functools
import io
import os
import zlib

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_attnviz._checks import message

# Smaller pictures are enlarged to this many pixels on their shorter side.
MIN_SIDE = 224
_INK, _PAPER, _LINE = (32, 33, 36), (255, 255, 255), (128, 134, 139)


def colorize(values, *, limit, color_map="inferno"):
    """Returns values as colors.

    Args:
        values: float array `[...]`.
        limit: float above 0. Values of 0 or less get the lowest color, `limit` and above the
            highest.
        color_map: name of a matplotlib color map.

    Returns:
        uint8 array `[..., 3]`, RGB.

    Raises:
        ValueError: matplotlib doesn't know `color_map`, or `limit` is not above 0.
    """
    if color_map not in matplotlib.colormaps:
        raise ValueError(
            message("color_map", "the name of a matplotlib color map", color_map, "Try 'inferno'.")
        )
    if not limit > 0:
        raise ValueError(message("limit", "above 0", limit))
    shares = np.clip(np.asarray(values, np.float32) / limit, 0.0, 1.0)
    return _color_map(color_map)(shares, bytes=True)[..., :3]


def upsample(grid, size):
    """Returns a grid enlarged bilinearly, with the centers of its cells kept in place.

    Args:
        grid: float array `[grid_height, grid_width]`.
        size: `(height, width)` in pixels.

    Returns:
        float32 array `[height, width]`, within the range of `grid`.
    """
    image = Image.fromarray(np.asarray(grid, np.float32))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BILINEAR))


def overlay(picture, grid, *, limit, color_map="inferno", opacity=0.6):
    """Returns a picture with a heatmap laid over it.

    Args:
        picture: uint8 array `[height, width, 3]`.
        grid: float array `[grid_height, grid_width]`.
        limit: float above 0, the value of the highest color.
        color_map: name of a matplotlib color map.
        opacity: float in [0, 1]; 0 shows only the picture, in gray, and 1 only the heatmap.

    Returns:
        uint8 array `[height, width, 3]`. The picture is turned gray, so that color means
        attention and nothing else.

    Raises:
        ValueError: see `colorize`; `opacity` is outside [0, 1].
    """
    if not 0 <= opacity <= 1:
        raise ValueError(message("opacity", "in [0, 1]", opacity))
    gray = np.asarray(Image.fromarray(picture).convert("L"), np.float32)[..., np.newaxis]
    colors = colorize(upsample(grid, picture.shape[:2]), limit=limit, color_map=color_map)
    return np.round(opacity * colors + (1.0 - opacity) * gray).astype(np.uint8)


def enlarged(picture, *, min_side=MIN_SIDE):
    """Returns a uint8 picture `[height, width, 3]`, enlarged if its shorter side is too small."""
    height, width = picture.shape[:2]
    factor = max(1.0, min_side / min(height, width))
    size = (round(width * factor), round(height * factor))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def text_size(width):
    """Returns the height in pixels of text in a picture `width` pixels wide.

    TensorBoard shows pictures 350 pixels wide, so text is 13 pixels high there, whatever `width`.
    """
    return max(12, width // 26)


def text_strip(text, width, *, size=None):
    """Returns one line of text as a picture.

    Args:
        text: the text. If it is too long, it is cut and ends in an ellipsis.
        width: width in pixels.
        size: height of the text in pixels, `text_size(width)` unless given.

    Returns:
        uint8 array `[1.5 * size, width, 3]`.
    """
    size = size or text_size(width)
    strip = Image.new("RGB", (width, size * 3 // 2), _PAPER)
    draw, font = ImageDraw.Draw(strip), _font(size)
    if draw.textlength(text, font) > width - 8:
        while text and draw.textlength(text + "\N{HORIZONTAL ELLIPSIS}", font) > width - 8:
            text = text[:-1]
        text += "\N{HORIZONTAL ELLIPSIS}"
    draw.text((4, size // 8), text, _INK, font)
    return np.asarray(strip)


@functools.lru_cache(maxsize=64)
def color_bar(width, *, labels, color_map="inferno", size=None):
    """Returns a color bar with labels below it. Results are cached.

    Args:
        width: width in pixels.
        labels: tuple of texts, evenly spaced from the lowest color to the highest.
        color_map: name of a matplotlib color map.
        size: height of the text in pixels, `text_size(width)` unless given.

    Returns:
        uint8 array `[2.5 * size, width, 3]`, whose upper two fifths are the bar. Don't write to
        it: it is shared.
    """
    bar = colorize(np.linspace(0, 1, width), limit=1.0, color_map=color_map)
    size = size or text_size(width)
    strip = Image.new("RGB", (width, size * 5 // 2), _PAPER)
    strip.paste(Image.fromarray(np.broadcast_to(bar, (size, width, 3)).copy()), (0, 2))
    draw, font = ImageDraw.Draw(strip), _font(size)
    for index, label in enumerate(labels):
        length = draw.textlength(label, font)
        center = index * (width - 1) / (len(labels) - 1)
        left = min(max(center - length / 2, 2), width - 2 - length)
        draw.text((left, size + 3), label, _INK, font)
    return np.asarray(strip)


def frame_bars(shares, width, *, limit, color_map="inferno", size=None):
    """Returns one bar per frame, as high as its share of a heatmap, with frame numbers below.

    Args:
        shares: float array `[frames]`, at least 0; 1 / frames is uniform.
        width: width in pixels.
        limit: float above 0, the share of the highest bar and color as a multiple of uniform.
            Higher shares are clipped; NaN counts as 0.
        color_map: name of a matplotlib color map.
        size: height of the text in pixels, `text_size(width)` unless given.

    Returns:
        uint8 array `[7 * size, width, 3]`. A line marks the uniform share. The shares are written
        above the bars in percent if there is room.
    """
    size, count = size or text_size(width), len(shares)
    limit = min(limit, count)
    times = np.clip(np.nan_to_num(np.float32(shares) * count), 0, limit)
    strip = Image.new("RGB", (width, size * 7), _PAPER)
    draw, font, bottom = ImageDraw.Draw(strip), _font(size), size * 11 // 2
    percent = [f"{share:.0%}" for share in times / count]
    has_room = max(draw.textlength(text, font) for text in percent) < width / count - 2
    ends = np.linspace(0, width, count + 1).astype(int)
    for index, color in enumerate(colorize(times, limit=limit, color_map=color_map)):
        left, right = ends[index] + 1, max(ends[index + 1] - 2, ends[index] + 1)
        top = bottom - round(float(times[index]) / limit * size * 4)
        draw.rectangle((left, top, right, bottom), tuple(map(int, color)))
        texts = [(str(index + 1), bottom + size // 8), (percent[index], top - size * 5 // 4)]
        for text, height in texts[: 1 + has_room]:
            length = draw.textlength(text, font)
            if length < width / count:
                draw.text(((left + right - length) / 2, height), text, _INK, font)
    uniform = bottom - round(size * 4 / limit)
    draw.line((0, uniform, width, uniform), _LINE)
    return np.asarray(strip)


def png_bytes(picture):
    """Returns a uint8 picture `[height, width, 3]` as the bytes of a PNG file.

    For photographs, run-length encoding gives smaller files than zlib's level 1, and is as fast.
    """
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", compress_level=1, compress_type=zlib.Z_RLE)
    return buffer.getvalue()


@functools.cache
def _color_map(name):
    color_map = matplotlib.colormaps[name]  # Each access makes a copy.
    color_map(0.0)  # The first call makes its table; later, threads only read it.
    return color_map


@functools.cache
def _font(size):
    # matplotlib ships this font, so it is the same on every machine.
    path = os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    return ImageFont.truetype(path, size)
