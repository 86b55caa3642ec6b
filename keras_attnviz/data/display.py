"""Display pictures: model inputs turned back into pictures that people can look at."""

import numpy as np

from keras_attnviz._checks import message

# ImageNet's channel means and standard deviations, of pixels in [0, 1].
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
# Share of a range's span by which resizing and augmentation may overshoot it at either end.
_OVERSHOOT = 0.02


def display_pictures(images):
    """Returns images or videos as pictures to look at, uint8 `[probes, ..., height, width, 3]`.

    The values of all images together show their range. It is the first of these that holds them
    all: [0, 1], [-1, 1], standardized with ImageNet's mean and deviation (3 channels), [0, 255].
    Values may overshoot a range by 2% of its span at either end, because bicubic resizing and
    contrast augmentation do so; they are clipped.

    The narrowest range comes first. It holds pictures of a wider range only if all of them have
    very little contrast, for example standardized pictures within [-1, 1], or nearly black pictures
    in [0, 255]. These are shown in wrong colors, unless `ProbeSet` gets their `display`. Negative
    values count as overshot [0, 255] only if the largest value is over 25.5, a tenth of that range:
    otherwise they come from another standardization.

    Args:
        images: array `[probes, ..., height, width, channels]` with 1, 3 or 4 channels; a fourth
            channel is left out. uint8 values are taken as they are.

    Raises:
        ValueError: the number of channels is another one, or values are outside all ranges.
    """
    channels = images.shape[-1]
    if channels not in (1, 3, 4):
        remedy = "Pass the pictures to show as `display`."
        raise ValueError(message("images", "of 1, 3 or 4 channels", images, remedy))
    colors = images[..., :3]
    if images.dtype != np.uint8:
        pixels = _as_pixels(colors.astype(np.float32))
        colors = np.clip(np.round(pixels), 0, 255).astype(np.uint8)
    return np.repeat(colors, 3, axis=-1) if channels == 1 else colors


def _as_pixels(values):
    """Returns float32 values of a known range as floats in [0, 255]."""
    low, high = float(values.min()), float(values.max())
    if _is_within(values, 0, 1):
        return values * 255
    if _is_within(values, -1, 1):
        return (values + 1) * 127.5
    restored = values * _DEVIATION + _MEAN if values.shape[-1] == 3 else None
    if restored is not None and _is_within(restored, 0, 1):
        return restored * 255
    if _is_within(values, 0, 255) and (low >= 0 or high > 25.5):
        return values
    raise ValueError(
        "`images` must have values in [0, 255], [0, 1], [-1, 1] or standardized with ImageNet's "
        f"mean and deviation. Received: values from {low:.4g} to {high:.4g}. Pass the pictures "
        "to show as `display`, uint8 [probes, height, width, 3]."
    )


def _is_within(values, low, high):
    """Returns whether all values are in [low, high], with a little overshoot."""
    overshoot = _OVERSHOOT * (high - low)
    return values.min() >= low - overshoot and values.max() <= high + overshoot
