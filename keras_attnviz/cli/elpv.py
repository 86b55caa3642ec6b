"""The ELPV data set: photographs of solar cells from the package `elpv-dataset`, as class folders.

The data set holds 2,624 electroluminescence photographs, 300 x 300 gray, of functional and
defective solar cells; experts gave each a probability of being defective. Data license:
CC-BY-NC-SA-4.0, not for commercial use; see `ATTRIBUTION`.
"""

import importlib.metadata
import importlib.util
import json
import random
import shutil
import tempfile
from pathlib import Path

from keras_attnviz._checks import check_count, message

CLASSES = {"functional": 0.0, "defective": 1.0}
NOTE = "LICENSE-NOTE.md"
SETTINGS = "settings.json"

ATTRIBUTION = """\
# Solar cells of the ELPV data set

These photographs are unchanged copies from the Python package `elpv-dataset`
(https://github.com/zae-bayern/elpv-dataset), with `mono-` or `poly-` (crystalline) put before
their names. They show solar cells in electroluminescence.

- `functional/` holds cells whose probability of being defective is given as 0,
- `defective/` holds cells whose probability is given as 1;
- cells in between (1/3 and 2/3) are left out.

`train/` and `validation/` have no photograph in common.

The photographs are licensed under the Creative Commons
Attribution-NonCommercial-ShareAlike 4.0 International License (CC-BY-NC-SA-4.0,
https://creativecommons.org/licenses/by-nc-sa/4.0/): they must not be used commercially. Their
authors ask to be cited as follows.

- Buerhop-Lutz, C.; Deitsch, S.; Maier, A.; Gallwitz, F.; Berger, S.; Doll, B.; Hauch, J.;
  Camus, C.; Brabec, C. J.: A Benchmark for Visual Identification of Defective Solar Cells in
  Electroluminescence Imagery. European PV Solar Energy Conference and Exhibition (EU PVSEC),
  2018. DOI 10.4229/35thEUPVSEC20182018-5CV.3.15
- Deitsch, S.; Buerhop-Lutz, C.; Sovetkin, E.; Steland, A.; Maier, A.; Gallwitz, F.; Riess, C.:
  Segmentation of photovoltaic module cells in uncalibrated electroluminescence images. Machine
  Vision and Applications 32(4), 2021. DOI 10.1007/s00138-021-01191-9
- Deitsch, S.; Christlein, V.; Berger, S.; Buerhop-Lutz, C.; Maier, A.; Gallwitz, F.; Riess, C.:
  Automatic classification of defective photovoltaic module cells in electroluminescence
  images. Solar Energy 185, 2019, 455-468. DOI 10.1016/j.solener.2019.02.067
"""


def write_class_folders(directory, *, per_class, validation_per_class, seed):
    """Writes photographs of functional and defective solar cells as class folders.

    `functional/` gets cells with a probability of being defective of 0 (1,508 photographs), and
    `defective/` cells with a probability of 1 (715). Cells in between, 1/3 and 2/3, are left out.
    This writes `train/<class>/*.png`, `validation/<class>/*.png` and a note on license and
    authors. The photographs are copies of the package's files, named by the cell's type, `mono-`
    or `poly-` (crystalline), and number. Train and validation have none in common.

    The choice depends only on the arguments. A folder written with the same arguments stays as it
    is; a folder written with others is replaced.

    Args:
        directory: path of the folder; its parents are made.
        per_class: number of training photographs of each class.
        validation_per_class: number of validation photographs of each class.
        seed: integer that decides which photographs are chosen.

    Returns:
        `directory` as a `Path`.

    Raises:
        ValueError: a count is below 1, the two exceed what a class has, or `directory` holds
            something that this function didn't write.
        TypeError: a count or the seed is not an integer.
        ImportError: `elpv-dataset` is not installed.
    """
    check_count("per_class", per_class)
    check_count("validation_per_class", validation_per_class)
    check_count("seed", seed, minimum=0)
    directory = Path(directory)
    source = _package_folder()
    settings = {
        "data": f"elpv-dataset {importlib.metadata.version('elpv-dataset')}",
        "per_class": per_class,
        "validation_per_class": validation_per_class,
        "seed": seed,
    }
    if _settings_of(directory) == settings:
        return directory
    chosen = _chosen(source, per_class, validation_per_class, seed)
    _check_replaceable(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
        _write(Path(scratch) / "data", source, chosen, settings)
        if directory.exists():
            shutil.rmtree(directory)
        (Path(scratch) / "data").rename(directory)
    return directory


def _package_folder():
    # Only located, not imported: the package's loader reads all photographs into one array.
    package = importlib.util.find_spec("elpv_dataset")
    if package is None:
        raise ImportError(
            "The solar cell photographs come from the package `elpv-dataset`. "
            "Install it with: pip install 'keras-attnviz[demo]'"
        )
    return Path(package.submodule_search_locations[0]) / "data"


def _settings_of(directory):
    try:
        return json.loads((directory / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _check_replaceable(directory):
    foreign = directory.exists() and not (directory / SETTINGS).is_file()
    if foreign and (not directory.is_dir() or any(directory.iterdir())):
        must = "a folder that does not exist, is empty, or was written by this function"
        raise ValueError(message("directory", must, str(directory), "Name another folder."))


def _chosen(source, per_class, validation_per_class, seed):
    """Returns a dict from target folder to pairs (file relative to `source`, new name)."""
    lines = (source / "labels.csv").read_text(encoding="utf-8").splitlines()
    chosen = {}
    for name, wanted in CLASSES.items():
        files = sorted(
            (file, f"{cell_type}-{Path(file).name}")
            for file, probability, cell_type in map(str.split, lines)
            if float(probability) == wanted
        )
        if per_class + validation_per_class > len(files):
            raise ValueError(
                f"`per_class` + `validation_per_class` must be at most {len(files)}, the number "
                f"of {name} cells. Received: per_class={per_class}, "
                f"validation_per_class={validation_per_class}. Lower one of them."
            )
        random.Random(f"{seed} {name}").shuffle(files)
        chosen[f"validation/{name}"] = files[:validation_per_class]
        chosen[f"train/{name}"] = files[validation_per_class : validation_per_class + per_class]
    return chosen


def _write(target, source, chosen, settings):
    for folder, files in chosen.items():
        (target / folder).mkdir(parents=True)
        for file, name in files:
            shutil.copyfile(source / file, target / folder / name)
    (target / NOTE).write_text(ATTRIBUTION, encoding="utf-8")
    (target / SETTINGS).write_text(json.dumps(settings, indent=2), encoding="utf-8")
