"""Makes docs/images/methods.png: photographs with every method's heatmaps.

    python docs/methods_picture.py logs/demo/model.keras defective/mono-cell1315.png ...

The model is the demo's trained model, and the photographs are from its data set.
"""

import pathlib
import sys

import matplotlib.figure
import numpy as np
from PIL import Image

from keras_attnviz import AttentionModel
from keras_attnviz.drawing import render
from keras_attnviz.explain.explain_pictures import open_model
from keras_attnviz.methods.registry import METHODS, times_uniform, token_values

HERE = pathlib.Path(__file__).parent
COLUMNS = [
    ("rollout", {}, "rollout"),
    ("rollout", {"start_layer": -2}, "rollout,\nlast 2 layers"),
    ("corrected_rollout", {"start_layer": -2}, "corrected rollout,\nlast 2 layers"),
    ("value_rollout", {"start_layer": -2}, "value rollout,\nlast 2 layers"),
    ("attention", {}, "attention,\nlast layer"),
    ("affinity", {}, "affinity"),
    ("gradient_rollout", {"start_layer": -2}, "gradient rollout,\nlast 2 layers"),
    ("relevance", {}, "relevance"),
    ("legrad", {}, "LeGrad"),
]


def main(model_path, paths):
    model = open_model(model_path).model
    attention_model = AttentionModel(model)
    height, width, _ = attention_model.signature.image_shape
    pictures = [
        np.asarray(Image.open(path).convert("RGB").resize((width, height))) for path in paths
    ]
    images = np.float32(pictures)
    evidence = attention_model.evidence(images, methods=list(METHODS))
    figure = matplotlib.figure.Figure(
        (1.25 * (1 + len(COLUMNS)), 1.28 * len(paths) + 0.5), layout="constrained"
    )
    grid = figure.subplots(len(paths), 1 + len(COLUMNS), squeeze=False)
    for axis in grid.ravel():
        axis.axis("off")
    for row, picture in zip(grid, pictures, strict=True):
        row[0].imshow(picture)
    for column, (method, options, title) in enumerate(COLUMNS, 1):
        values = token_values(method, evidence, attention_model.stack, options)
        heat = times_uniform(method, values, attention_model.layout).numpy()
        grid[0, column].set_title(title, fontsize=8)
        for row, picture, values in zip(grid, pictures, heat, strict=True):
            shown = render.overlay(picture, values, limit=float(values.max()))
            row[column].imshow(shown)
    figure.savefig(HERE / "images" / "methods.png", dpi=100)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
