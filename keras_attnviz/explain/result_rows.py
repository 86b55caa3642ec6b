"""Result rows: each image's prediction, heatmap and localization, from batches of images."""

import numpy as np
import tensorflow as tf

from keras_attnviz._checks import message
from keras_attnviz.capture.memory_plan import planned
from keras_attnviz.data.dataset_samples import class_indices
from keras_attnviz.data.masks import mask_shares, tall_masks
from keras_attnviz.explain.tables import INTEGER, NUMBER, NUMBERS, TEXT
from keras_attnviz.metrics.localization import LOCALIZATIONS, localizations
from keras_attnviz.model_io.outputs import class_name, class_predictions
from keras_attnviz.model_io.replicas import Replicas, local_strategy

# What a batch may hold for its images besides the model's inputs.
NAME, LABEL, MASK, ERROR = FURTHER = ("name", "label", "mask", "error")


def columns(*, has_masks):
    """Returns the columns of the rows, see `write_table`."""
    measures = [f"localization_{name}" for name in LOCALIZATIONS] if has_masks else []
    return {
        "index": INTEGER,
        NAME: TEXT,
        LABEL: INTEGER,
        "predicted": INTEGER,
        "class_name": TEXT,
        "confidence": NUMBER,
        "grid_height": INTEGER,
        "grid_width": INTEGER,
        "heatmap": NUMBERS,
        **dict.fromkeys(measures, NUMBER),
        ERROR: TEXT,
    }


class ImageRows:
    """Runs batches through a model and returns one row per image.

    Args:
        attention_model: an `AttentionModel`.
        method: name of an explanation method.
        options: dict, the method's options.
        class_names: sequence of texts, in the order of the outputs, or None.
        batch_size: the largest number of images in a batch.
        strategy: see `Replicas`.
        memory_limit: see `explain_dataset`.

    Attributes:
        memory_line: a line that says how many images run at a time, or None.

    Raises:
        TypeError, ValueError: see `AttentionModel.explain`.
    """

    def __init__(
        self,
        attention_model,
        method,
        options,
        *,
        class_names,
        batch_size,
        strategy,
        memory_limit=None,
    ):
        self._model, self._method, self._options = attention_model, method, options
        self._class_names = class_names
        strategy = strategy or local_strategy()
        # Each GPU has a memory of its own; CPUs share theirs.
        devices = strategy.num_replicas_in_sync if tf.config.list_logical_devices("GPU") else 1
        plan = planned(
            attention_model.stack,
            [method],
            images=-(-batch_size // devices),
            memory_limit=memory_limit,
        )
        self._at_once = min(batch_size, plan.images * devices)
        self.memory_line = plan.line("images")
        self._replicas = Replicas(self._graph, batch_size=self._at_once, strategy=strategy)
        # Options that don't fit raise here, before any file is written.
        specs = attention_model.signature.specs
        tf.function(lambda *flat: self._graph(flat)).get_concrete_function(*specs)

    def of(self, batches, *, first):
        """Returns the rows of some batches, a list of dicts from column names to values.

        Args:
            batches: iterable of elements of a data set, see `explain_dataset`.
            first: index of the first image.

        Raises:
            ValueError: elements that don't fit.
        """
        rows = []
        for batch in batches:
            inputs, further = _parted(batch)
            rows += self._rows(inputs, further, first + len(rows))
        return rows

    def _rows(self, inputs, further, first):
        flat = [np.asarray(each) for each in self._model.signature.flatten(inputs, name="dataset")]
        starts = range(0, len(flat[0]), self._at_once)
        parts = [
            self._replicas([array[start : start + self._at_once] for array in flat])
            for start in starts
        ]
        predictions, heat = (np.concatenate(found) for found in zip(*parts, strict=True))
        rows = [
            {
                "index": first + position,
                "grid_height": heat.shape[1],
                "grid_width": heat.shape[2],
                "heatmap": values.ravel(),
            }
            for position, values in enumerate(heat)
        ]
        told = [
            self._classes(predictions),
            self._measures(heat, further.get(MASK)),
            _labels(further.get(LABEL)),
            {NAME: _texts(further.get(NAME)), ERROR: _texts(further.get(ERROR))},
        ]
        for name, values in [item for each in told for item in each.items()]:
            for row, value in zip(rows, values if values is not None else (), strict=False):
                row[name] = value
        return [_failed(row) if row.get(ERROR) else row for row in rows]

    def _classes(self, predictions):
        found = class_predictions(predictions, activation=self._model.activation)
        if found is None:
            return {}
        classes, confidences = (values.tolist() for values in found)
        names = None
        if self._class_names is not None:
            names = [class_name(index, self._class_names) for index in classes]
        return {"predicted": classes, "confidence": confidences, "class_name": names}

    def _measures(self, heat, masks):
        if masks is None:
            return {}
        masks = np.asarray(masks)
        if masks.ndim == 4:
            masks = tall_masks(masks, self._model.frames or 1)
        shares = mask_shares(masks, self._model.layout.grid)
        found = localizations(heat.reshape(len(heat), -1), shares)
        return {f"localization_{name}": values.numpy().tolist() for name, values in found.items()}

    def _graph(self, flat):
        """Returns predictions and heatmaps, `[batch, ...]` and `[batch, height, width]`.

        The frames of a video stand below one another.
        """
        model = self._model
        inputs = model.signature.pack(list(flat))
        predictions, heatmaps = model.predict_with_heatmap(
            inputs, self._method, options=self._options
        )
        heatmaps = tf.reshape(heatmaps, [-1, *model.layout.grid])
        return [tf.cast(predictions, tf.float32), heatmaps]


def further_spec(dataset):
    """Returns the specs of what batches hold besides inputs, a dict with names of `FURTHER`."""
    return _parted(dataset.element_spec)[1]


def _parted(element):
    """Returns a batch's inputs, and what else it holds, a dict with names of `FURTHER`."""
    if not isinstance(element, tuple) or len(element) < 2:
        return (element[0] if isinstance(element, tuple) else element), {}
    inputs, further = element[:2]
    if not isinstance(further, dict):
        return inputs, {LABEL: further}
    unknown = sorted(set(further) - set(FURTHER))
    if unknown:
        must = f"of batches (inputs, labels) or (inputs, dict of {', '.join(FURTHER)})"
        raise ValueError(message("dataset", must, unknown))
    return inputs, further


def _labels(labels):
    if labels is None:
        return {}
    found = class_indices(labels.numpy())
    if found is None:
        must = "of batches whose labels are class indices or one-hot"
        raise ValueError(message("dataset", must, labels))
    return {LABEL: found.tolist()}


def _texts(texts):
    """Returns a string tensor as a list of texts, or None."""
    if texts is None:
        return None
    return [text.decode("utf-8", "replace") for text in texts.numpy().tolist()]


def _failed(row):
    """Returns the row of a skipped image, without what would come from its pixels."""
    return {name: row.get(name) for name in ("index", NAME, LABEL, ERROR)}
