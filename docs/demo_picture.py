"""Makes docs/images/demo.png from the demo's log.

    python docs/demo_picture.py logs/demo-20260101-120000 defective-mono-cell1315 ...

Each probe gets a row: the photograph, then its attention before training and after each epoch.
"""

import io
import pathlib
import sys

import matplotlib.figure
import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from keras_attnviz.drawing.render import text_size

HERE = pathlib.Path(__file__).parent
GAP = 6


def panels(log_dir, probe):
    """Returns a dict from step to `(picture, overlay)`, cropped from the logged pictures."""
    found = {}
    for path in sorted(pathlib.Path(log_dir, "attention").glob("*tfevents*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.tag == f"attention/{probe}":
                    panel = np.asarray(Image.open(io.BytesIO(value.tensor.string_val[2])))
                    # Below the caption and the method's title; rollout is the first method.
                    top, side = text_size(panel.shape[1]) * 3 // 2 * 2, (panel.shape[1] - GAP) // 2
                    rows = panel[top : top + side]
                    found[event.step] = rows[:, :side], rows[:, side + GAP :]
    return found


def main(log_dir, probes):
    series = [panels(log_dir, probe) for probe in probes]
    columns = 1 + len(series[0])
    figure = matplotlib.figure.Figure((2 * columns, 2 * len(probes) + 0.3), layout="constrained")
    for row, (steps, axes) in enumerate(
        zip(series, figure.subplots(len(probes), columns, squeeze=False), strict=True)
    ):
        pictures = [steps[-1][0], *(overlay for _, overlay in steps.values())]
        epochs = [f"after epoch {step + 1}" for step in steps if step >= 0]
        titles = ["probe", "before training", *epochs]
        for axis, picture, title in zip(axes, pictures, titles, strict=True):
            axis.imshow(picture)
            axis.axis("off")
            if row == 0:
                axis.set_title(title, fontsize=10)
    figure.savefig(HERE / "images" / "demo.png", dpi=90)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
