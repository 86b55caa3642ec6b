"""Photographs cut out along their outline: stamps of Tux Paint, with the kind of object.

The stamps are the PNG files of Debian's package `tuxpaint-stamps-default`. They are licensed under
the GNU General Public License 2 (`/usr/share/doc/tuxpaint-stamps-default/copyright`). This
repository contains none of them.
"""

import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path("/usr/share/tuxpaint/stamps")
# The stamps' folders by class. The others hold mostly drawings, or few photographs.
FOLDERS = {
    "bird": ("animals/birds",),
    "food": ("food",),
    "mammal": ("animals/mammals", "animals/marsupials"),
    "plant": ("plants",),
    "small_animal": (
        "animals/amphibians",
        "animals/fish",
        "animals/insects",
        "animals/lizards",
        "animals/shellfish",
    ),
    "thing": ("hobbies", "household", "medical", "sports", "vehicles"),
}
# A drawing fills areas with one color: few colors, and neighbors that are equally bright. In the
# folders above, this leaves out all drawings except some shaded ones, and a few dark photographs.
MAX_FLAT_SHARE = 0.5
MIN_COLOR_BITS = 4.4
# Smaller stamps would have to be enlarged; thinner ones cover too little of any square.
MIN_PIXELS = 1000
MIN_FILL = 0.15


@dataclasses.dataclass(frozen=True)
class Cutout:
    """One photograph of an object without its background.

    Args:
        name: its path below the stamps' folder.
        label: its class.
        rgba: uint8 array `[height, width, 4]`, cropped to where alpha is above 0.
    """

    name: str
    label: str
    rgba: np.ndarray


def find_cutouts(folder=FOLDER):
    """Returns the photographs among the stamps, a list of `Cutout` in the order of their names.

    Raises:
        FileNotFoundError: the stamps are not installed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is missing: the benchmark needs the stamps of Tux Paint. Install them with: "
            "apt-get install tuxpaint-stamps-default"
        )
    found = []
    for label, parts in FOLDERS.items():
        for path in sorted(path for part in parts for path in (folder / part).rglob("*.png")):
            name = path.relative_to(folder)
            if "cartoon" in name.parts or path.stem.endswith("_mirror"):
                continue
            rgba = cropped(np.asarray(Image.open(path).convert("RGBA")))
            if is_photograph(rgba) and is_compact(rgba):
                found.append(Cutout(str(name), label, rgba))
    return found


def cropped(rgba):
    """Returns the smallest part of a picture that holds everything with alpha above 0."""
    rows, columns = (np.flatnonzero((rgba[..., 3] > 0).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return rgba[:0, :0]
    return rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def is_photograph(rgba):
    """Returns whether a picture is a photograph, not a drawing.

    Args:
        rgba: uint8 array `[height, width, 4]`; only pixels with alpha above 0.9 count.
    """
    is_solid = rgba[..., 3] > 0.9 * 255
    if not is_solid.any():
        return False
    colors = (rgba[..., :3] // 8).astype(int) @ [1024, 32, 1]
    shares = np.unique(colors[is_solid], return_counts=True)[1] / is_solid.sum()
    bits = -(shares * np.log2(shares)).sum()
    steps = np.abs(np.diff(rgba[..., :3].astype(float).mean(axis=-1), axis=1))
    is_pair = is_solid[:, 1:] & is_solid[:, :-1]
    flat_share = (steps[is_pair] < 1).mean() if is_pair.any() else 1.0
    return bool(bits >= MIN_COLOR_BITS and flat_share <= MAX_FLAT_SHARE)


def is_compact(rgba):
    """Returns whether a cut-out is large enough and covers enough of a square around it."""
    area = (rgba[..., 3] / 255).sum()
    return bool(area >= MIN_PIXELS and area >= MIN_FILL * max(rgba.shape[:2]) ** 2)
