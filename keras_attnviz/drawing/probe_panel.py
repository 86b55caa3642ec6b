"""The picture of one probe: image, overlays, captions."""

import numpy as np

from keras_attnviz.drawing import render
from keras_attnviz.methods.registry import method_of

_GAP = 6  # pixels between two columns


def probe_panel(picture, heat, caption, colors, *, shares=None):
    """Returns a probe's picture and the overlays of all methods, with a caption and color bars.

    Args:
        picture: uint8 array `[height, width, 3]`; small ones are shown enlarged.
        heat: dict from the name of a method or gate to float array `[grid_height, grid_width]`,
            in multiples of uniform attention or the gate's values. It is empty if the model has
            only channel gates; the panel then shows the picture alone.
        caption: one line of text.
        colors: `ColorScale`.
        shares: for a video, dict from the names in `heat` to float arrays `[frames]`, the share of
            the heatmap in each frame; else None.

    Returns:
        uint8 array `[..., 2 * width + 6, 3]`, where `width` is the enlarged picture's. Below the
        caption are two columns: the picture first, then each method's overlay. Each overlay has a
        color bar, and for a video one bar per frame below it. If there are several overlays, each
        has the method's title.
    """
    picture = render.enlarged(picture)
    if not heat:
        return np.concatenate([render.text_strip(caption, picture.shape[1]), picture], axis=0)
    width = 2 * picture.shape[1] + _GAP
    text = render.text_size(width)
    blocks = [
        _block(
            picture,
            grid,
            method,
            colors,
            text=text,
            has_title=len(heat) > 1,
            shares=shares and shares.get(method),
        )
        for method, grid in heat.items()
    ]
    above = text * 3 // 2 if len(heat) > 1 else 0
    beside = np.full_like(blocks[0], 255)
    beside[above : above + picture.shape[0]] = picture
    cells = [beside, *blocks]
    cells += [np.full_like(beside, 255)] * (len(cells) % 2)
    gap = np.full((len(beside), _GAP, 3), 255, np.uint8)
    pairs = zip(cells[::2], cells[1::2], strict=True)
    rows = [np.concatenate([left, gap, right], axis=1) for left, right in pairs]
    return np.concatenate([render.text_strip(caption, width), *rows], axis=0)


def _block(picture, grid, method, colors, *, text, has_title, shares):
    """Returns a method's title (optional), overlay, color bar and frame bars, top to bottom."""
    limit = colors.limit_of(grid, method)
    heated = render.overlay(
        picture, grid, limit=limit, color_map=colors.color_map, opacity=colors.opacity
    )
    width = picture.shape[1]
    labels = ("0", f"{limit:.3g}{method_of(method).unit}")
    bar = render.color_bar(width, labels=labels, color_map=colors.color_map, size=text)
    title = [render.text_strip(method_of(method).title, width, size=text)] if has_title else []
    bars = []
    if shares is not None:
        bars = [
            render.frame_bars(shares, width, limit=limit, color_map=colors.color_map, size=text)
        ]
    return np.concatenate([*title, heated, bar, *bars], axis=0)
