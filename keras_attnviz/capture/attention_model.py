"""Predictions and attention maps of a Keras model, read out of its traced graph."""

import functools

import tensorflow as tf
from tensorflow import keras

from keras_attnviz._checks import message
from keras_attnviz.capture.attention_map import summary_lines
from keras_attnviz.capture.evidence_source import EvidenceSource
from keras_attnviz.capture.gates import GateSource
from keras_attnviz.capture.graph.logits import last_activation
from keras_attnviz.capture.memory_plan import check_largest
from keras_attnviz.capture.observed_trace import observed
from keras_attnviz.capture.self_check import check_capture
from keras_attnviz.capture.stack import find_stack
from keras_attnviz.capture.trace import trace_model
from keras_attnviz.methods.evidence import GATES
from keras_attnviz.methods.registry import check_method, needs_of, token_values
from keras_attnviz.methods.token_layout import TokenLayout
from keras_attnviz.model_io.calling import build, own_predictions
from keras_attnviz.model_io.signature import InputSignature

# If an image's maps have more entries than this, half a gigabyte, they aren't held all at once.
_LARGE = 2**27


class AttentionModel:
    """Gives a Keras model's predictions together with its attention maps.

    The model is traced once, in inference mode, and its attention maps are found in that graph.
    The model's variables keep their values; a model that isn't built is built for any batch size.
    Variables are captured by reference, so later weight updates are seen without tracing again.
    At construction, one random image is run through the model. This shows where the maps' rows
    and columns stand among the patches, and which tokens the head reads.

    Args:
        model: a Keras model that takes images `[batch, height, width, channels]` or videos
            `[batch, frames, height, width, channels]`, alone or among other inputs.
        layers: which attention maps to take, bottom first: indices into all maps that are located
            on the images, or parts of layer paths; all of them unless given.
        layout: the `TokenLayout`; inferred unless given. A read-out that it doesn't name is
            measured.
        image_shape: `(height, width, channels)`, of videos `(frames, height, width, channels)`,
            where the model doesn't declare it.
        inputs: an example of what the model takes, arrays or `tf.TensorSpec` objects. Needed for
            subclassed models with several inputs, and for models that accept only certain values.
            At construction, its rows are run through the model beside the random image.
        output: which output holds the predictions: its index, key or name. Needed where there are
            several.
        self_check: whether one batch is run at construction to verify what was found. Without
            it, a given `layout` isn't verified either: maps of its number of tokens are not
            measured, and its read-out is not compared with what the output depends on.

    Attributes:
        maps: tuple of `AttentionMap`, bottom layer first; empty in a model that has only gates.
        gates: tuple of `Gate`, in the order in which they are computed; see `gate_values`.
        left_out: tuple of the softmaxes that were seen and not taken, each with `layer`,
            `shape` for one image, and `reason`.
        layout: the `TokenLayout`; None without maps. Its grid holds the frames of a video below
            one another.
        stack: the `LayerStack`, the maps' geometry that explanation methods work on; None without
            maps.
        frames: number of frames of a video's heatmap, None for images. Frames that share their
            tokens count as one.
        activation: `"Softmax"` or `"Sigmoid"` where the model ends in one, else None.

    Raises:
        TypeError: `model` is not a Keras model, or `layers` or `layout` has the wrong type.
        ValueError: the Keras backend is not TensorFlow; the model has no `call`; the image size
            is not known; there are several outputs and none is chosen; no attention is found;
            there are two towers and no `layers`; the token layout can't be inferred or doesn't
            fit; or what was found fails the check.

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
        signature = InputSignature.of(model, image_shape=image_shape, example=inputs)
        build(model, signature)
        trace = trace_model(model, signature, output=output)
        self.signature = trace.signature
        trace = observed(trace, [tf.constant(values) for values in self.signature.random(1)])
        check_largest(trace.entries)
        gates = GateSource(trace)
        self.gates = gates.gates
        found = find_stack(
            trace,
            layers=layers,
            layout=layout,
            self_check=self_check,
            has_gates=bool(self.gates),
        )
        self.stack, self.maps, self.left_out = found.layers, found.maps, found.left_out
        self.layout = self.stack and self.stack.layout
        self.frames = (self.stack and self.stack.frames) or _frames_of(self.gates)
        self.activation = last_activation(trace.predictions)
        self._evidence = EvidenceSource(trace, found.geometries, gates)
        self._explainers = {}
        if self_check:
            check_capture(
                trace,
                found,
                gates,
                functools.partial(
                    own_predictions,
                    model,
                    self.signature,
                    output=output,
                    in_graph=sum(trace.entries) > _LARGE,
                ),
            )

    def __call__(self, inputs):
        """Returns the predictions and the attention maps.

        Args:
            inputs: exactly what the model takes: a tensor or array
                `[batch, height, width, channels]`, of videos
                `[batch, frames, height, width, channels]`, or a structure of several.

        Returns:
            `(predictions, attentions)`: the predictions in inference mode, and a list of attention
            maps, bottom layer first: tensors `[batch, heads, queries, keys]`, or
            `[batch, groups, heads, queries, keys]` where an image has several groups, in the
            model's compute dtype. Rows sum to 1.

        Raises:
            ValueError: the inputs have another shape or structure than the model takes.
        """
        evidence = self._evidence.of(self.signature.flatten(inputs, name="images"))
        return evidence.predictions, evidence.attentions

    def rollout(self, inputs, **options):
        """Returns attention rollout on the patch grid, for the tokens that the head reads.

        Where `layers` leaves out the model's last maps, rollout starts from the tokens that the
        output depends on at the last map that was taken. These are mostly all tokens, because the
        layers above mix them.

        Args:
            inputs: as for a call of this object.
            **options: `head_fusion`, `discard_ratio`, `residual`, `start_layer`, as in
                `attention_rollout`.

        Returns:
            float32 tensor `[batch, grid_height, grid_width]`, of videos
            `[batch, frames, grid_height, grid_width]`, values >= 0. Together with the further
            tokens, which are left out, they sum to 1.

        Raises:
            TypeError: an option is unknown or of the wrong type.
            ValueError: the inputs don't fit, or an option is out of its range.
        """
        return self.explain(inputs, "rollout", **options)

    def explain(self, inputs, method="rollout", *, classes=None, **options):
        """Returns where the model looks according to an explanation method, on the patch grid.

        Args:
            inputs: as for a call of this object.
            method: name of a method, see docs/methods.md: `"rollout"`, `"attention"` of one layer,
                `"affinity"`, `"corrected_rollout"`, `"value_rollout"`, `"flow"` for few tokens, and
                with gradients `"gradient_rollout"`, `"relevance"` and `"legrad"`.
            classes: for methods with gradients, the class whose score is explained: an integer,
                or integers `[batch]`. None and -1 stand for the predicted class.
            **options: the method's options: those of `rollout` for `"rollout"` and
                `"value_rollout"`, and with `limit` for `"corrected_rollout"`; `layer` and `head`
                for `"attention"`; `top_layers` for `"affinity"`; `residual` for `"flow"`;
                `residual` and `start_layer` for `"gradient_rollout"`; `start_layer` for
                `"relevance"` and `"legrad"`.

        Returns:
            float32 tensor `[batch, grid_height, grid_width]`, of videos
            `[batch, frames, grid_height, grid_width]`, values >= 0. Heatmaps of the
            rollouts and of `"attention"` sum to 1 together with the further tokens, which are left
            out; the others have no fixed sum.

        Raises:
            TypeError: an option that the method doesn't have, or one of the wrong type.
            ValueError: the method is unknown; a class or an option is out of its range; the inputs
                don't fit; a method needs gradients and the model has no class scores or no
                gradients; or `"value_rollout"` can't find the values.
        """
        check_method("method", method)
        self._check_maps()
        flat = self.signature.flatten(inputs, name="images")
        self._evidence.prepare(needs_of([method]))
        classes = self._evidence.checked_classes(classes, flat[0])
        key = (method, *sorted(options.items()))
        if key not in self._explainers:
            graph_function = functools.partial(self._explain_graph, method=method, options=options)
            self._explainers[key] = tf.function(graph_function, reduce_retracing=True)
        return self._explainers[key](flat, classes)

    def predict_with_heatmap(self, inputs, method="rollout", *, classes=None, options=None):
        """Returns the predictions and where the model looks, of one pass.

        Args:
            inputs: as for a call of this object.
            method: see `explain`.
            classes: see `explain`.
            options: dict, the method's options, see `explain`.

        Returns:
            `(predictions, heatmap)`: the predictions in inference mode, and what `explain` returns.

        Raises:
            TypeError, ValueError: see `explain`.
        """
        evidence = self.evidence(inputs, methods=[method], classes=classes)
        return evidence.predictions, self._heatmap_of(evidence, method, options or {})

    def evidence(self, inputs, *, methods, classes=None, gates=False):
        """Returns the `Evidence` that some methods need, from one forward and one backward pass.

        Args:
            inputs: as for a call of this object.
            methods: sequence of names of methods, see `explain`; empty without attention maps.
            classes: see `explain`.
            gates: whether it holds the values of gates too.

        Raises:
            ValueError: see `explain`.
        """
        needs = self._needs(methods, gates=gates)
        flat = self.signature.flatten(inputs, name="images")
        classes = self._evidence.checked_classes(classes, flat[0])
        return self._evidence.of(flat, needs=needs, classes=classes)

    def fixed_pass(self, compute, batches, *, methods):
        """Returns a `FixedPass` that computes tensors from the evidence of fixed batches.

        Args:
            compute: function from `Evidence`, symbolic, to a dict of symbolic tensors.
            batches: list of `(inputs, classes)`: a flat list of arrays, and integers `[batch]`
                with -1 for the predicted class.
            methods: sequence of names of methods, see `explain`. The evidence also holds the
                values of gates, where the model has any.

        Raises:
            ValueError: see `explain`.
        """
        needs = self._needs(methods, gates=bool(self.gates))
        return self._evidence.fixed_pass(self.model, compute, batches, needs=needs)

    def _needs(self, methods, *, gates):
        """Returns the set of needs of some methods: what the evidence must hold for them."""
        for method in methods:
            check_method("methods", method)
        if methods:
            self._check_maps()
        return needs_of(methods) | ({GATES} if gates else set())

    def gate_values(self, inputs):
        """Returns the predictions and the values of the model's gates.

        Attention in convolutional networks multiplies a feature map with a gate. That is a sigmoid
        or hard sigmoid, as in squeeze-and-excitation, BAM and CBAM; or a softmax over branches, as
        in selective kernels.

        Args:
            inputs: as for a call of this object.

        Returns:
            `(predictions, values)`: the predictions, and a list of float32 tensors in [0, 1], in
            the order of `gates`: `[batch, channels]` of a channel gate, `[batch, height, width]`
            of a spatial gate, `[batch, height, width, channels]` of a gate that is both. A gate of
            branches has `[batch, branches]`, means over channels; its rows sum to 1.

        Raises:
            ValueError: the inputs have another shape or structure than the model takes.
        """
        flat = self.signature.flatten(inputs, name="images")
        evidence = self._evidence.of(flat, needs=(GATES,))
        return evidence.predictions, evidence.gates

    def heatmap(self, attentions, **options):
        """Returns `rollout` from attention maps that a call of this object has returned.

        Raises:
            TypeError: an option is unknown or of the wrong type.
            ValueError: the number of maps is another one, or an option is out of its range.
        """
        return self.to_heatmap(self.token_rollout(attentions, **options))

    def to_heatmap(self, values):
        """Returns values of all tokens as heatmaps, see `LayerStack.to_heatmap`."""
        self._check_maps()
        return self.stack.to_heatmap(values)

    def token_rollout(self, attentions, **options):
        """Returns rollout over all tokens, see `LayerStack.rollout`."""
        self._check_maps()
        return self.stack.rollout(attentions, **options)

    def token_maps(self, attentions, **options):
        """Returns each layer's attention among all tokens, see `LayerStack.token_maps`."""
        self._check_maps()
        return self.stack.token_maps(attentions, **options)

    @property
    def placements(self):
        """The `Placement` of each map's rows and columns among the tokens, a tuple."""
        return self.stack.placements if self.stack else ()

    @property
    def indices(self):
        """The numbers of the taken maps among all attention sites of the graph, a tuple."""
        return self._evidence.indices

    def summary(self, print_fn=print):
        """Prints tables of the attention maps and gates, the token layout, and what was left out.

        `prefix` is the number of further tokens before the patches; `2+1` means that one more
        stands after them. The last map's line holds the read-out.
        """
        for line in summary_lines(self.maps, self.left_out, self.layout, gates=self.gates):
            print_fn(line)

    def _check_maps(self):
        if not self.maps:
            raise ValueError(
                "Explanation methods need attention maps. Received: model "
                f"{self.model.name!r}, which has only gates. Call `gate_values`."
            )

    def _explain_graph(self, flat, classes, *, method, options):
        evidence = self._evidence.of(flat, needs=needs_of([method]), classes=classes)
        return self._heatmap_of(evidence, method, options)

    def _heatmap_of(self, evidence, method, options):
        return self.stack.to_heatmap(token_values(method, evidence, self.stack, options))


def _frames_of(gates):
    """Returns the number of frames of the spatial gates, or None where they have none."""
    return next((gate.frames for gate in gates if gate.is_spatial and gate.frames > 1), None)


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
