"""Rollout model: a Keras model with a heatmap as a second output, for saving and serving."""

import re

import tensorflow as tf
from tensorflow import keras

from keras_attnviz._checks import check_choice
from keras_attnviz.capture.attention_model import AttentionModel
from keras_attnviz.methods.registry import METHODS
from keras_attnviz.methods.token_layout import TokenLayout

# Attention flow is computed in NumPy and SciPy, which no exported graph can call.
EXPORTABLE = tuple(name for name in METHODS if name != "flow")


@keras.utils.register_keras_serializable("keras_attnviz")
class RolloutModel(keras.Model):
    """A Keras model that returns another model's predictions together with a heatmap.

    It shares the other model's layers and weights, and always runs it in inference mode. It can be
    saved as `.keras` and loaded again (after `from keras_attnviz import RolloutModel`). What
    `export` writes needs only TensorFlow.

    Call arguments:
        inputs: what the model takes.

    Args:
        model: see `AttentionModel`.
        method: name of an explanation method, see `AttentionModel.explain`; any except `"flow"`.
            Methods with gradients explain the predicted class.
        layers: see `AttentionModel`.
        layout: see `AttentionModel`.
        image_shape: see `AttentionModel`.
        output: see `AttentionModel`.
        find_now: whether to find the attention now rather than at the first call. A model that is
            loaded from a file gets its weights only after its construction.
        name: name of this model.
        **options: the method's options, numbers and texts.

    Attributes:
        model: the model.
        attention_model: the `AttentionModel` of it.

    Returns:
        dict of the model's predictions under `"predictions"`, and the heatmaps under the method's
        name: a float32 tensor `[batch, grid_height, grid_width]`, for videos
        `[batch, frames, grid_height, grid_width]`.

    Raises:
        TypeError: see `AttentionModel.explain`.
        ValueError: a method that can't be exported; see `AttentionModel` and its `explain`.

    Example:
        >>> rollout_model = RolloutModel(model)
        >>> rollout_model.predict(images)["rollout"]  # [images, grid_height, grid_width]
        >>> rollout_model.export("exported")
        >>> tf.saved_model.load("exported").serve(images)["rollout"]
    """

    def __init__(
        self,
        model,
        *,
        method="rollout",
        layers=None,
        layout=None,
        image_shape=None,
        output=None,
        find_now=True,
        name=None,
        **options,
    ):
        # Inputs must reach the model unchanged under any mixed precision policy.
        super().__init__(name=name, dtype="float32", autocast=False)
        check_choice("method", method, EXPORTABLE)
        self.model, self.method = model, method
        self._arguments = _Arguments(
            attention={
                "layers": layers,
                "layout": layout,
                "image_shape": image_shape,
                "output": output,
            },
            options=options,
        )
        self._found = None
        self.built = True
        if find_now:
            # An option that the method doesn't have raises here.
            signature = self.attention_model.signature
            tf.function(self.call).get_concrete_function(signature.structure)

    @property
    def attention_model(self):
        """The `AttentionModel`."""
        if self._found is None:
            # The first call may come inside a graph, for example that of `predict`.
            with tf.init_scope():
                self._found = AttentionModel(self.model, **self._arguments.attention)
        return self._found

    def build(self, input_shape=None):
        """Does nothing: the model's variables are the only ones."""
        self.built = True

    def call(self, inputs, training=None):
        """Returns predictions and heatmaps, in inference mode whatever `training` is."""
        predictions, heatmap = self.attention_model.predict_with_heatmap(
            inputs, self.method, options=self._arguments.options
        )
        return {"predictions": predictions, self.method: heatmap}

    def export(self, filepath):
        """Writes a SavedModel that `tf.saved_model.load` reads without Keras and this package.

        Its function `serve` and its signature `serving_default` take a batch of any size and
        return what a call of this model returns.

        Args:
            filepath: directory to write to.
        """
        signature = self.attention_model.signature

        def serve(*inputs):
            return self(tf.nest.pack_sequence_as(signature.structure, inputs))

        module = tf.Module()
        module.variables_of_model = [_plain(variable) for variable in self.model.variables]
        module.serve = tf.function(serve, input_signature=_named(signature))
        tf.saved_model.save(module, filepath, signatures={"serving_default": module.serve})

    def get_config(self):
        """Returns the constructor's arguments, for `from_config`."""
        model = keras.utils.serialize_keras_object(self.model)
        # Without the optimizer: Keras loads its state only if all its variables exist.
        model.pop("compile_config", None)
        attention = self._arguments.attention
        layout = attention["layout"]
        return {
            **attention,
            "layout": None if layout is None else _layout_config(layout),
            **self._arguments.options,
            "name": self.name,
            "model": model,
            "method": self.method,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Returns the model, which finds its attention at the first call."""
        config = dict(config)
        model = keras.utils.deserialize_keras_object(
            config.pop("model"), custom_objects=custom_objects
        )
        layout = config.pop("layout")
        layout = None if layout is None else TokenLayout(**layout)
        return cls(model, layout=layout, find_now=False, **config)


class _Arguments:
    """Holds plain dicts; Keras would wrap them in its containers as attributes of a model."""

    def __init__(self, attention, options):
        self.attention, self.options = attention, options


def _plain(variable):
    """Returns the TensorFlow variable that a Keras 3 variable wraps."""
    return getattr(variable, "_value", variable)


def _layout_config(layout):
    return {
        "prefix": layout.prefix,
        "grid": list(layout.grid),
        "readout": list(layout.readout) if layout.readout_is_given else None,
        "suffix": layout.suffix,
    }


def _named(signature):
    """Returns the input specs, each with the name of its argument of the served function."""
    specs = tf.nest.flatten(signature.structure)
    names = signature.names if len(specs) > 1 else ["images"]
    return [
        tf.TensorSpec(spec.shape, spec.dtype, name=re.sub(r"\W", "_", name))
        for name, spec in zip(names, specs, strict=True)
    ]
