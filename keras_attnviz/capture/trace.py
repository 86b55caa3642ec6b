"""One inference call of a Keras model as a graph, and functions cut out of that graph."""

import contextlib
import functools
import itertools

import tensorflow as tf

from keras_attnviz.capture.attention_sites import find_attention
from keras_attnviz.capture.gate_sites import find_gates
from keras_attnviz.capture.graph.operations import Dependence, hidden_calls
from keras_attnviz.capture.graph.positions import feature_maps, frames_at_a_time, mixes_positions
from keras_attnviz.capture.graph.subgraph import cut, unoptimized
from keras_attnviz.model_io.calling import all_layers, losses_kept, parts_of, refusal_told
from keras_attnviz.model_io.outputs import select_output
from keras_attnviz.model_io.workers import own_variables

# Reductions of an attention map's last axes: one key axis, or two or three (height, width).
_MAX_KEY_AXES = 3
_CONTROL_FLOW = frozenset(["Case", "If", "StatelessCase", "StatelessIf", "StatelessWhile", "While"])


class Trace:
    """The graph of one inference call of a model, and functions cut out of it.

    Args:
        model: a Keras model.
        signature: its `InputSignature`.
        output: which of its outputs holds the predictions, see `select_output`.

    Attributes:
        predictions: the predictions, symbolic.
        sites: list of `AttentionSite`, in the graph's order.
        gates: list of `GateSite`, in the graph's order.
        inputs: the model's inputs, a flat list of symbolic tensors.
    """

    def __init__(self, model, signature, *, output=None):
        self.model, self.signature = model, signature
        self._trace(model, output)
        if hidden_calls(self.operations):
            # Functions inside the model are inlined where tf.function is switched off.
            with _functions_inlined():
                self._trace(model, output)
        self.inputs = self._wrapped.inputs[: len(signature.specs)]
        everything = self._wrapped.graph.get_operations()
        reads_inputs = Dependence(everything, self.inputs)
        self.sites = find_attention(self.operations, model.name, reads_inputs)
        self.gates = find_gates(self.operations, model.name, reads_inputs)
        self._reads_inputs = reads_inputs
        self._reads_sites = Dependence(everything, [site.weights for site in self.sites])
        handles = {
            id(part.handle) for variable in model.trainable_variables for part in parts_of(variable)
        }
        trained = [inner for outer, inner in self._wrapped.graph.captures if id(outer) in handles]
        self._reads_trained = Dependence(everything, trained)

    def frames_at_a_time(self):
        """Returns how many frames of a video share their tokens, by the first convolution."""
        return frames_at_a_time(self.operations)

    def frames_of(self, site):
        """Returns the number of frames that an attention map is over, None where there is none."""
        videos = [self.signature.videos.get(index) for index in sorted(self.images_of(site))]
        return videos[0].frames if videos and videos[0] else None

    def nothing_found(self):
        """Returns the error for a model without attention, with the likely reason."""
        branches = _branches_with_softmax(self._wrapped.graph, self.operations)
        hidden = hidden_calls(self.operations)
        return ValueError(_no_attention(self.model, hidden, branches))

    def function(self, outputs, *, feeds=()):
        """Returns a function cut out of the graph.

        Args:
            outputs: list of symbolic tensors.
            feeds: symbolic tensors that the function takes after the model's inputs; what lies
                below them is cut off.

        Returns:
            function from tensors to a list of tensors.
        """
        return self.cut([*self.inputs, *feeds], outputs)

    def cut(self, feeds, fetches):
        """Returns a function from some tensors of the graph, and variables, to others.

        Args:
            feeds: list of symbolic tensors, its arguments.
            fetches: structure of symbolic tensors, what it gives.
        """
        captures = {inner.name: outer for inner, outer in self.captures()}
        return cut(self._wrapped.graph, feeds, fetches, captures)

    def captures(self):
        """Returns `(inner, outer)` of all that the graph takes from outside, variables' handles."""
        return [(inner, outer) for outer, inner in self._wrapped.graph.captures]

    def all_operations(self):
        """Returns all operations of the graph, those too that were added after the call."""
        return self._wrapped.graph.get_operations()

    def experiment(self, outputs, *, feeds=()):
        """Returns the same as `function`, for few calls: it starts sooner and runs slower."""
        return unoptimized(self.function(outputs, feeds=feeds))

    def as_default(self):
        """Returns the context in which operations are added to this graph."""
        return self._wrapped.graph.as_default()

    def images_of(self, site):
        """Returns which of the model's image inputs an attention map is computed from."""
        images = set(self.signature.images)
        return self._reads_inputs.of(site.weights) & images

    def sites_below(self, index):
        """Returns the indices of the attention maps that map `index` is computed from."""
        return self.sites_of(self.sites[index].scores)

    def sites_of(self, tensor):
        """Returns the indices of the attention maps that a tensor is computed from."""
        return self._reads_sites.of(tensor)

    def is_trained(self, tensor):
        """Tells whether training can change a tensor for the same inputs."""
        return bool(self._reads_trained.of(tensor))

    def feature_maps(self, site):
        """Returns the feature maps that precede an attention map, in the graph's order."""
        return [
            tensor
            for tensor in feature_maps(self.operations, site.weights)
            if self._reads_inputs.of(tensor) & set(self.signature.images)
        ]

    @functools.cached_property
    def _mixing(self):
        outputs = [operation.outputs[0] for operation in self.operations if operation.outputs]
        return [site.output for site in self.sites] + [
            tensor for tensor in outputs if mixes_positions(tensor)
        ]

    def mixing(self):
        """Returns the tensors in which positions are mixed: attention and wide convolutions."""
        return self._mixing

    def zero_weights(self, site, inputs):
        """Returns the weights above an attention map that hold nothing but zeros.

        Args:
            site: `AttentionSite`; read are the weights that are used after it.
            inputs: flat list of the model's inputs, one image.

        Returns:
            list of `(tensor, shape)`, of symbolic tensors that read a float variable.
        """
        above = itertools.dropwhile(lambda each: each is not site.weights.op, self.operations)
        reads = {each.name: each.outputs[0] for each in above if each.type == "ReadVariableOp"}
        reads = {name: tensor for name, tensor in reads.items() if tensor.dtype.is_floating}
        with self.as_default():
            found = {
                name: (tf.math.count_nonzero(tensor), tf.shape(tensor))
                for name, tensor in reads.items()
            }
        found = self.experiment(found)(*inputs)
        return [
            (reads[name], _as_tuple(shape)) for name, (count, shape) in found.items() if not count
        ]

    def observe(self, inputs):
        """Runs one image; returns each attention map's shape, and how far row sums are from 1.

        Args:
            inputs: flat list of the model's inputs, one image.

        Returns:
            list of `(shape, deviations)`; `deviations[n - 1]` is the largest deviation of a sum
            over the last `n` axes.

        Raises:
            ValueError: the model doesn't take these values.
        """
        streams = {tensor.name: tensor for tensor in self._streams()}
        with self.as_default():
            maps = [(tf.shape(s.weights), _sum_deviations(s.weights)) for s in self.sites]
            sizes = {name: tf.shape(tensor) for name, tensor in streams.items()}
        with refusal_told(self.signature, inputs):
            found, sizes = self.experiment((maps, sizes))(*inputs)
        self._shapes = {name: _as_tuple(shape) for name, shape in sizes.items()}
        return [
            (_as_tuple(shape), [float(value) for value in deviations])
            for shape, deviations in found
        ]

    def shape_of(self, tensor):
        """Returns a tensor's shape for one image as observed, or None where it was not."""
        return self._shapes.get(tensor.name)

    def _streams(self):
        """Returns the tensors whose shapes matter: feature maps, tokens, queries and keys."""
        for site in self.sites:
            yield from site.operands
        yield from self.feature_maps(self.sites[-1])
        for operation in self.operations:
            if operation.type in ("Add", "AddV2") and operation.outputs[0].shape.rank in (3, 4):
                yield operation.outputs[0]

    def _trace(self, model, output):
        def call(*inputs):
            operations = tf.compat.v1.get_default_graph().get_operations
            before = len(operations())
            outputs = model(self.signature.pack(list(inputs)), training=False)
            return outputs, operations()[before:]

        # AutoGraph, so that a model's own Python control flow works as it does in `fit`.
        context = tf.__internal__.autograph.control_status_ctx()
        convert = tf.__internal__.autograph.tf_convert

        def traced(*inputs):
            outputs, self.operations = convert(call, context)(*inputs)
            names = getattr(model, "output_names", None)
            self.predictions = select_output(outputs, output, names)
            return self.predictions

        with losses_kept(model), own_variables(model):
            # Unlike tf.function, what this gives can be cut into functions of parts.
            self._wrapped = tf.compat.v1.wrap_function(traced, self.signature.specs)


def _as_tuple(shape):
    return tuple(int(size) for size in shape)


def _sum_deviations(weights):
    weights = tf.cast(weights, tf.float32)
    axes = range(1, min(_MAX_KEY_AXES, (weights.shape.rank - 1) // 2) + 1)
    sums = [tf.reduce_sum(weights, axis=list(range(-count, 0))) for count in axes]
    return [tf.reduce_max(tf.abs(total - 1)) for total in sums]


def _branches_with_softmax(whole, operations):
    """Returns the names of conditions and loops, where one of them runs a softmax."""
    library = whole.as_graph_def().library.function
    if not any(node.op == "Softmax" for function in library for node in function.node_def):
        return []
    return [operation.name for operation in operations if operation.type in _CONTROL_FLOW]


def _no_attention(model, hidden, branches):
    layers = [f"{layer.name} ({type(layer).__name__})" for layer in all_layers(model)]
    shown = ", ".join(layers[:30]) + (f" and {len(layers) - 30} more" if len(layers) > 30 else "")
    if hidden:
        return (
            "`model` must show its operations. Received: "
            f"model {model.name!r}, which runs functions of a SavedModel ({hidden[0]}); what "
            "happens inside them can't be read. Load the model from a .keras or .h5 file, or "
            f"build it from code and load its weights. Layers seen: {shown}."
        )
    if branches:
        return (
            "`model` must compute attention outside of conditions and loops. Received: model "
            f"{model.name!r}, which runs a softmax within `tf.cond` or `tf.while_loop` "
            f"({branches[0]}); what happens inside can't be read. Compute both branches and choose "
            f"with `tf.where`, or write the loop in Python. Layers seen: {shown}."
        )
    return (
        "`model` must compute attention: a softmax that is multiplied with values, or a gate, a "
        f"sigmoid that is multiplied with a feature map. Received: model {model.name!r}, in whose "
        f"graph there is neither. Layers seen: {shown}. Attach to a Vision Transformer, or put "
        "attention into a convolutional network, by `SqueezeExcite` for example."
    )


@contextlib.contextmanager
def _functions_inlined():
    """Lets functions decorated with `tf.function` be traced as if they were not."""
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)
