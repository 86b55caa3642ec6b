"""A Keras model to predictions and attention maps, read out of its traced graph."""

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_attnviz import graph
from keras_attnviz._checks import message
from keras_attnviz.calling import build, own_predictions
from keras_attnviz.choosing import check_one_stack, choose, warn_of_gaps
from keras_attnviz.maps import describe
from keras_attnviz.placement import placed_rollout
from keras_attnviz.placing import place_all
from keras_attnviz.readout import find_readout, symbolic_by_group
from keras_attnviz.selfcheck import check_capture
from keras_attnviz.signature import InputSignature
from keras_attnviz.stack import Tokens, placement_of, shared_tokens, stacks
from keras_attnviz.summary import summary_lines
from keras_attnviz.tokens import TokenLayout, advice, candidate_layouts
from keras_attnviz.trace import Trace


class AttentionModel:
    """Gives a Keras model's predictions together with its attention maps.

    The model is traced once, in inference mode, and its attention maps are looked up in that
    graph; the model itself is not changed: one that isn't built is built for any batch size, and
    variables keep their values. They are captured by reference, so later weight updates are seen
    without tracing again. One random image is run through at construction, to learn where the
    maps' rows and columns stand among the patches, and which tokens the head reads.

    Args:
        model: a built Keras model that takes images `[batch, height, width, channels]`, alone or
            among other inputs.
        layers: which attention maps to take, bottom first: indices into all maps that are placed
            on the images, or parts of layer paths; all of them unless given.
        layout: the `TokenLayout`; inferred unless given. A read-out that it doesn't name is
            measured.
        image_shape: `(height, width, channels)`, where the model doesn't declare it.
        inputs: example of what the model takes, arrays or `tf.TensorSpec` objects: for subclassed
            models with several inputs, and for models that ask for certain values. Beside the
            random image, its rows are run through at construction.
        output: which output holds the predictions, its index, key or name, where there are
            several.
        self_check: whether one batch is run at construction to verify what was found. Without
            it, a `layout` is also believed: maps of its number of tokens are not measured, and
            its read-out is not held against what the output depends on.

    Attributes:
        maps: tuple of `AttentionMap`, bottom layer first.
        left_out: tuple of the softmaxes that were seen and not taken, each with `layer`,
            `shape` for one image, and `reason`.
        layout: the `TokenLayout`.
        activation: `"Softmax"` or `"Sigmoid"` where the model ends in one, else None.

    Raises:
        TypeError: `model` is not a Keras model.
        ValueError: the Keras backend is not TensorFlow; a model without a `call`; the image size
            is not known; several outputs and none chosen; no attention found; two towers and no
            `layers`; a token layout that can't be inferred or doesn't fit; what was found doesn't
            pass the check.

    Example:
        >>> attention_model = AttentionModel(model)
        >>> predictions, attentions = attention_model(images)
        >>> heatmaps = attention_model.rollout(images)  # [batch, grid_height, grid_width]
    """

    def __init__(
        self,
        model,
        *,
        layers=None,
        layout=None,
        image_shape=None,
        inputs=None,
        output=None,
        self_check=True,
    ):
        _check_model(model)
        _check_layout_type(layout)
        self.model = model
        self.signature = InputSignature.of(model, image_shape=image_shape, example=inputs)
        probe = [tf.constant(values) for values in self.signature.random(1)]
        build(model, self.signature)
        trace = Trace(model, self.signature, output=output)
        chosen = self._find_maps(trace, probe, layers, layout, self_check)
        self._find_layout(trace, chosen, probe, layout, self_check)
        self._cut(trace, chosen)
        if self_check:
            check_capture(
                self,
                probe,
                lambda inputs: own_predictions(model, self.signature, inputs, output=output),
            )

    def _find_maps(self, trace, probe, layers, layout, self_check):
        """Returns the `Place`s of the maps that are taken; keeps what is told about all."""
        tokens = layout and layout.tokens
        places, self.left_out = place_all(trace, probe, tokens=tokens, measure=self_check)
        if not places:
            raise ValueError(_none_placed(self.left_out))
        chosen = choose(places, [trace.sites[place.index].layer for place in places], layers)
        towers = stacks(places, trace.sites_below)
        self.maps = describe(chosen, towers, trace)
        check_one_stack(chosen, places, towers, trace)
        if layers is None:
            warn_of_gaps(chosen, self.left_out, trace, stacklevel=3)
        return chosen

    def _find_layout(self, trace, chosen, probe, layout, self_check):
        """Keeps where the maps stand among the tokens, and which tokens the head reads."""
        tokens = _tokens(chosen, layout, self_check=self_check)
        self._placements = [placement_of(place, tokens) for place in chosen]
        self.layout, self._query = find_readout(
            trace, chosen, self._placements, probe, tokens=tokens, layout=layout, check=self_check
        )

    def _cut(self, trace, chosen):
        """Keeps functions to the predictions, the maps and the rollout."""
        self.activation = graph.last_activation(trace.predictions)
        with trace.as_default():
            attentions = [symbolic_by_group(trace.sites[p.index].weights, p) for p in chosen]
        self._forward = trace.function([trace.predictions, *attentions])
        self._rollout = tf.function(self._rollout_graph, reduce_retracing=True)

    def __call__(self, inputs):
        """Returns the predictions and the attention maps.

        Args:
            inputs: tensor or array `[batch, height, width, channels]`, or the structure of them
                that the model takes, exactly what the model takes.

        Returns:
            `(predictions, attentions)`: the predictions in inference mode, and a list, bottom
            layer first, of tensors `[batch, heads, queries, keys]`, or
            `[batch, groups, heads, queries, keys]` where an image has several groups, in the
            model's compute dtype, rows sum to 1.

        Raises:
            ValueError: inputs of another shape or structure than the model takes.
        """
        predictions, *attentions = self._forward(*self.signature.flatten(inputs, name="images"))
        return predictions, attentions

    def rollout(self, inputs, **options):
        """Returns attention rollout on the patch grid, for the tokens that the head reads.

        Where `layers` leaves out the model's last maps, these are the tokens that the output
        depends on at the last map that was taken: all tokens as a rule, because the layers above
        mix them.

        Args:
            inputs: as for a call of this object.
            **options: `head_fusion`, `discard_ratio`, `residual`, `start_layer`, as in
                `attention_rollout`.

        Returns:
            float32 tensor `[batch, grid_height, grid_width]`, values >= 0. Together with the
            prefix and suffix tokens, which are left out, they sum to 1.

        Raises:
            TypeError: an unknown option, or one of the wrong type.
            ValueError: inputs that don't fit, or an option out of its range.
        """
        flat = self.signature.flatten(inputs, name="images")
        return self._rollout(flat, tuple(sorted(options.items())))

    def heatmap(self, attentions, **options):
        """Returns `rollout` from attention maps that this object has given before.

        Raises:
            TypeError: an unknown option, or one of the wrong type.
            ValueError: another number of maps, or an option out of its range.
        """
        return self.layout.to_grid(self.token_rollout(attentions, **options))

    def token_rollout(self, attentions, **options):
        """Returns rollout over all tokens, float32 `[batch, tokens]`, rows sum to 1.

        `attentions` are those that this object has given before; options as in `rollout`, and
        it raises what `heatmap` raises.
        """
        return placed_rollout(attentions, self._placements, query=self._query, **options)

    def token_maps(self, attentions, **options):
        """Returns each layer's attention among all tokens, heads fused.

        Args:
            attentions: what a call of this object has given.
            **options: `head_fusion` and `discard_ratio`, as in `fuse_heads`.

        Returns:
            list, bottom layer first, of float32 tensors `[batch, tokens, tokens]`, rows sum to 1.
            Rows of tokens that a layer leaves as they are hold a 1 on the diagonal; a pooling
            layer's map is `[batch, queries, tokens]`.

        Raises:
            TypeError: an unknown option, or one of the wrong type.
            ValueError: another number of maps, or an option out of its range.
        """
        return [
            placement.token_map(attention, **options)
            for placement, attention in zip(self._placements, attentions, strict=True)
        ]

    @property
    def placements(self):
        """For each map the `Placement` of its rows and columns among the tokens."""
        return tuple(self._placements)

    @property
    def query(self):
        """The weights that rollout starts from, float32 `[tokens]` or `[queries]`, sum 1."""
        return np.float32(self._query)

    def summary(self, print_fn=print):
        """Prints a table of the attention maps, the token layout, and what was left out.

        `prefix` is the number of further tokens before the patches, `2+1` where one stands after
        them; the read-out stands in the last map's line.
        """
        for line in summary_lines(self.maps, self.left_out, self.layout):
            print_fn(line)

    def _rollout_graph(self, flat, options):
        _, *attentions = self._forward(*flat)
        return self.heatmap(attentions, **dict(options))


def _tokens(chosen, layout, *, self_check):
    """Returns the `Tokens` of the chosen maps, those of `layout` where it is given."""
    found = shared_tokens(chosen)
    if layout is None:
        return found
    given = Tokens(layout.prefix, layout.grid, layout.suffix)
    if found is not None and found != given and (self_check or found.count != given.count):
        raise ValueError(
            message(
                "layout",
                f"one of prefix={found.prefix}, grid={found.grid}, suffix={found.suffix}, as the "
                "model's attention maps have",
                layout,
            )
        )
    return given


def _none_placed(left_out):
    listed = "; ".join(f"{item.layer} {item.shape}: {item.reason}" for item in left_out)
    sizes = [item.shape[-1] for item in left_out if len(item.shape) == 4]
    remedy = advice(candidate_layouts(sizes[-1])) if sizes else ""
    return (
        "The token layout can't be inferred: `model` must have an attention map whose rows and "
        f"columns stand for patches of the images. Received, with one image: {listed}. {remedy}"
    ).rstrip()


def _check_model(model):
    if not isinstance(model, keras.Model):
        raise TypeError(message("model", "a Keras model", model))
    if type(model).call is keras.Model.call:
        raise ValueError(
            "`model` must be a model that can be called. Received: "
            f"model {model.name!r} of class {type(model).__name__}, which has no `call`. Write its "
            "`call` from images to predictions, or pass the model in it that has them."
        )
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise ValueError(
            f"The Keras backend must be 'tensorflow'. Received: {backend!r}. Set the environment "
            "variable KERAS_BACKEND=tensorflow before Keras is imported."
        )


def _check_layout_type(layout):
    if layout is not None and not isinstance(layout, TokenLayout):
        raise TypeError(message("layout", "a TokenLayout", layout))
