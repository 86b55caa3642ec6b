"""A Keras model to predictions and attention maps, read out of its traced graph."""

import itertools

import tensorflow as tf
from tensorflow import keras

from keras_attnviz import graph
from keras_attnviz._checks import message
from keras_attnviz.rollout import attention_rollout
from keras_attnviz.tokens import TokenLayout
from keras_attnviz.trace import Trace


class AttentionModel:
    """Gives a Keras model's predictions together with its attention maps.

    The model is traced once, in inference mode, and its attention maps are looked up in that
    graph; the model itself is not changed. Variables are captured by reference, so later
    weight updates are seen without tracing again. One image is run through at construction,
    to learn the sizes and the tokens that the head reads.

    Args:
        model: a built Keras model with one image input `[batch, height, width, channels]` and
            one output.
        layers: which attention maps to take, bottom first: indices into all maps found, or
            parts of layer paths; all of them unless given.
        layout: the `TokenLayout`; inferred unless given.
        image_shape: `(height, width, channels)`, where the model doesn't declare it.

    Attributes:
        maps: tuple of `AttentionMap`, bottom layer first.
        layout: the `TokenLayout`.
        activation: `"Softmax"` or `"Sigmoid"` where the model ends in one, else None.

    Raises:
        TypeError: `model` is not a Keras model.
        ValueError: the Keras backend is not TensorFlow; the image size is not known; several
            inputs or outputs; no attention found; maps that don't belong to one sequence of
            tokens; a token layout that can't be inferred or doesn't fit.

    Example:
        >>> attention_model = AttentionModel(model)
        >>> predictions, attentions = attention_model(images)
        >>> heatmaps = attention_model.rollout(images)  # [batch, grid_height, grid_width]
    """

    def __init__(self, model, *, layers=None, layout=None, image_shape=None):
        _check_model(model)
        self._signature = _signature(model, image_shape)
        trace = Trace(model, self._signature)
        sites = _chosen(trace.sites, layers)
        _check_one_stack(sites)
        found = trace.inspect(sites)
        self.model = model
        self.maps = found.maps
        self.layout = _layout(found, layout)
        self.activation = graph.last_activation(trace.predictions)
        self._forward = trace.function([trace.predictions, *(site.tensor for site in sites)])
        self._rollout = tf.function(self._rollout_graph, reduce_retracing=True)

    def __call__(self, images):
        """Returns the predictions and the attention maps.

        Args:
            images: tensor or array `[batch, height, width, channels]`, exactly what the model
                takes.

        Returns:
            `(predictions, attentions)`: what the model returns in inference mode, and a list,
            bottom layer first, of tensors `[batch, heads, tokens, tokens]` in the model's
            compute dtype, rows sum to 1.

        Raises:
            ValueError: images of another shape than the model takes.
        """
        images = tf.cast(tf.convert_to_tensor(images), self._signature.dtype)
        if not self._signature.shape.is_compatible_with(images.shape):
            must = f"of shape {tuple(self._signature.shape)}"
            raise ValueError(message("images", must, images, "Resize the images to that."))
        predictions, *attentions = self._forward(images)
        return predictions, attentions

    def rollout(self, images, **options):
        """Returns attention rollout on the patch grid, for the tokens that the head reads.

        Args:
            images: tensor or array `[batch, height, width, channels]`.
            **options: `head_fusion`, `discard_ratio`, `residual`, `start_layer`, as in
                `attention_rollout`.

        Returns:
            float32 tensor `[batch, grid_height, grid_width]`, values >= 0. Together with the
            prefix tokens, which are left out, they sum to 1.
        """
        return self._rollout(tf.convert_to_tensor(images), tuple(sorted(options.items())))

    def heatmap(self, attentions, **options):
        """Returns `rollout` from attention maps that this object has given before."""
        row = attention_rollout(attentions, query=self.layout.query_weights(), **options)
        return self.layout.to_grid(row)

    def summary(self, print_fn=print):
        """Prints a table of the attention maps found, and the token layout."""
        width = max(len(found.layer) for found in self.maps)
        print_fn(f"{'':>3}  {'layer':<{width}}  {'heads':>5}  {'queries':>7}  {'keys':>5}")
        for index, found in enumerate(self.maps):
            print_fn(
                f"{index:>3}  {found.layer:<{width}}  {found.heads:>5}  {found.queries:>7}  "
                f"{found.keys:>5}"
            )
        print_fn(str(self.layout))

    def _rollout_graph(self, images, options):
        _, attentions = self(images)
        return self.heatmap(attentions, **dict(options))


def _layout(found, given):
    """Returns the layout given or inferred, after a check against the maps."""
    sizes = {size for item in found.maps for size in (item.queries, item.keys)}
    if len(sizes) != 1:
        listed = "; ".join(f"{item.layer}: {item.queries} x {item.keys}" for item in found.maps)
        raise ValueError(
            "The attention maps must have the same number of query and key tokens in every layer. "
            f"Received: {listed}. Choose maps that belong together with `layers`."
        )
    tokens = sizes.pop()
    if given is None:
        return TokenLayout.infer(tokens, patch_grids=found.patch_grids, readout=found.readout)
    if not isinstance(given, TokenLayout):
        raise TypeError(message("layout", "a TokenLayout", given))
    if given.tokens != tokens:
        must = f"a layout of {tokens} tokens, as the attention maps have"
        raise ValueError(message("layout", must, given, f"It has {given.tokens} tokens."))
    return given


def _chosen(sites, layers):
    """Returns the sites that `layers`, indices or parts of paths, names."""
    if layers is None:
        return sites
    if isinstance(layers, (str, int)):
        must = "a list of indices of attention maps or of parts of their layer paths"
        raise TypeError(message("layers", must, layers, f"Pass [{layers!r}]."))
    paths = [site.layer for site in sites]
    indices = set()
    for layer in layers:
        if isinstance(layer, str):
            matches = [index for index, path in enumerate(paths) if layer in path]
        else:
            matches = [layer % len(sites)] if -len(sites) <= layer < len(sites) else []
        if not matches:
            must = "indices of attention maps or parts of their layer paths"
            raise ValueError(message("layers", must, layer, f"Found: {', '.join(paths)}"))
        indices.update(matches)
    if not indices:
        raise ValueError(message("layers", "None or at least one layer", layers))
    return [sites[index] for index in sorted(indices)]


def _check_one_stack(sites):
    for below, above in itertools.pairwise(sites):
        if not graph.depends_on(above.tensor, below.tensor):
            raise ValueError(
                "The attention maps must belong to one stack of layers, each reading the one "
                f"below. Received: {above.layer} doesn't read {below.layer}; they may be two "
                "towers, or two calls of one. Choose the maps of one of them with `layers`."
            )


def _check_model(model):
    if not isinstance(model, keras.Model):
        raise TypeError(message("model", "a Keras model", model))
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise ValueError(
            f"The Keras backend must be 'tensorflow'. Received: {backend!r}. Set the environment "
            "variable KERAS_BACKEND=tensorflow before Keras is imported."
        )


def declared_image_shape(model):
    """Returns the shape of one image `(height, width, channels)` as a model declares it.

    What it doesn't declare is None.

    Raises:
        ValueError: the model has several inputs, or its input is not a batch of images.
    """
    inputs = getattr(model, "inputs", None) or []
    if not inputs:
        return (None, None, None)
    if len(inputs) > 1:
        names = [tensor.name for tensor in inputs]
        raise ValueError(f"`model` must have one input, the images. Received inputs: {names}.")
    shape = tuple(inputs[0].shape)[1:]
    if len(shape) != 3:
        must = "a model of images [batch, height, width, channels]"
        raise ValueError(message("model", must, model.name, f"Its input has shape {shape}."))
    return shape


def fits_shape(given, declared):
    """Tells whether the image shape `given` is one that a model with shape `declared` takes."""
    return len(given) == len(declared) and all(
        side in (None, size) for side, size in zip(declared, given, strict=True)
    )


def _signature(model, image_shape):
    """Returns the `tf.TensorSpec` of a batch of images."""
    shape = declared_image_shape(model)
    if image_shape is not None:
        if not fits_shape(image_shape, shape):
            must = f"a shape that the model takes, {shape}"
            raise ValueError(message("image_shape", must, image_shape))
        shape = tuple(image_shape)
    if None in shape:
        raise ValueError(
            f"The model's image size must be known. Received: input shape {shape}. Pass "
            "`image_shape=(height, width, channels)`, or build the model with that input."
        )
    dtype = model.inputs[0].dtype if getattr(model, "inputs", None) else keras.backend.floatx()
    return tf.TensorSpec([None, *shape], dtype, name="images")
