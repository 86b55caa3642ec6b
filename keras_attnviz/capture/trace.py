"""The traced model: one inference call as a graph, with its attention maps and gates."""

import dataclasses
import functools

from keras_attnviz.capture.attention_sites import find_attention
from keras_attnviz.capture.gate_sites import find_gates
from keras_attnviz.capture.graph.operation_types import CONTROL_FLOW
from keras_attnviz.capture.graph.operations import Dependence, hidden_calls
from keras_attnviz.capture.graph.positions import feature_maps, frames_at_a_time, mixes_positions
from keras_attnviz.capture.graph.stages import waits
from keras_attnviz.capture.graph.traced_graph import TracedGraph, functions_inlined, trace_call
from keras_attnviz.model_io.calling import all_layers, losses_kept, parts_of
from keras_attnviz.model_io.outputs import select_output
from keras_attnviz.model_io.signature import InputSignature
from keras_attnviz.model_io.workers import own_variables


def trace_model(model, signature, *, output=None):
    """Returns the `Trace` of one inference call of a model.

    Args:
        model: a built Keras model.
        signature: its `InputSignature`. The trace has the same signature; but where the first
            convolution takes several frames of a video at a time, it has one with that `tubelet`.
        output: which of the model's outputs holds the predictions, see `select_output`.

    Raises:
        ValueError: there are several outputs and none is chosen; the chosen output doesn't exist;
            or the number of a video's frames is no multiple of the tubelet.
    """
    graph = _graph_of_call(model, signature, output)
    tubelet = frames_at_a_time(graph.operations)
    if signature.videos and tubelet != 1:
        signature = signature.with_tubelet(tubelet)
        graph = _graph_of_call(model, signature, output)
    everything = graph.all_operations()
    reads_inputs = Dependence(everything, graph.inputs)
    sites = find_attention(graph.operations, model.name, reads_inputs)
    return Trace(
        **_fields(graph, TracedGraph),
        model=model,
        signature=signature,
        sites=sites,
        gates=find_gates(graph.operations, model.name, reads_inputs),
        reads_inputs=reads_inputs,
        reads_sites=Dependence(everything, [site.weights for site in sites]),
        reads_trained=Dependence(everything, _trained_handles(graph, model)),
    )


def _graph_of_call(model, signature, output):
    """Returns the `TracedGraph` of one inference call; its output is the predictions."""

    def call(*inputs):
        return model(signature.pack(list(inputs)), training=False)

    def select(outputs):
        return select_output(outputs, output, getattr(model, "output_names", None))

    def traced():
        with losses_kept(model), own_variables(model):
            return trace_call(call, signature.specs, select=select)

    graph = traced()
    if not hidden_calls(graph.operations):
        return graph
    # Functions inside the model are inlined where tf.function is switched off.
    with functions_inlined():
        return traced()


def _trained_handles(graph, model):
    """Returns the symbolic handles of the variables that training changes."""
    handles = {
        id(part.handle) for variable in model.trainable_variables for part in parts_of(variable)
    }
    return [inner for inner, outer in graph.captures() if id(outer) in handles]


def _fields(instance, kind):
    """Returns the fields of a dataclass `kind` in an instance, a dict by name, not copied."""
    return {field.name: getattr(instance, field.name) for field in dataclasses.fields(kind)}


@dataclasses.dataclass(frozen=True, eq=False)
class Trace(TracedGraph):
    """The graph of one inference call of a model, with its attention maps and gates.

    Args:
        model: the Keras model.
        signature: its `InputSignature`.
        sites: list of `AttentionSite`, in the graph's order.
        gates: list of `GateSite`, in the graph's order.
        reads_inputs: the `Dependence` on the model's inputs.
        reads_sites: the `Dependence` on the attention maps.
        reads_trained: the `Dependence` on the variables that training changes.
    """

    model: object
    signature: InputSignature
    sites: list
    gates: list
    reads_inputs: Dependence
    reads_sites: Dependence
    reads_trained: Dependence

    @functools.cached_property
    def _stages(self):
        return [(_product(site), site.weights) for site in self.sites]

    def order(self, operations):
        """Returns which operations wait, so that one large attention map is alive at a time."""
        return waits(operations, self._stages)

    @property
    def predictions(self):
        """The predictions, symbolic."""
        return self.output

    def frames_of(self, site):
        """Returns the number of frames of the video that a map is computed from, or None."""
        videos = [self.signature.videos.get(index) for index in sorted(self.images_of(site))]
        return videos[0].frames if videos and videos[0] else None

    def nothing_found(self):
        """Returns the error for a model without attention, with the likely reason."""
        branches = _branches_with_softmax(self.wrapped.graph, self.operations)
        hidden = hidden_calls(self.operations)
        return ValueError(_no_attention(self.model, hidden, branches))

    def images_of(self, site):
        """Returns the set of the model's image inputs that an attention map is computed from."""
        images = set(self.signature.images)
        return self.reads_inputs.of(site.weights) & images

    def sites_below(self, index):
        """Returns the indices of the attention maps that map `index` is computed from."""
        return self.sites_of(self.sites[index].scores)

    def sites_of(self, tensor):
        """Returns the indices of the attention maps that a tensor is computed from."""
        return self.reads_sites.of(tensor)

    def is_trained(self, tensor):
        """Returns whether training can change a tensor for the same inputs."""
        return bool(self.reads_trained.of(tensor))

    def feature_maps(self, site):
        """Returns the feature maps that precede an attention map, in the graph's order."""
        return [
            tensor
            for tensor in feature_maps(self.operations, site.weights)
            if self.reads_inputs.of(tensor) & set(self.signature.images)
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


def _product(site):
    """Returns the operation that multiplies queries and keys; without it, the scores' own."""
    if len(site.operands) == 2:
        names = {tensor.name for tensor in site.operands}
        for user in site.operands[0].consumers():
            if names <= {tensor.name for tensor in user.inputs}:
                return user
    return site.scores.op


def _branches_with_softmax(whole, operations):
    """Returns the names of all conditions and loops if any function runs a softmax, else none."""
    library = whole.as_graph_def().library.function
    if not any(node.op == "Softmax" for function in library for node in function.node_def):
        return []
    return [operation.name for operation in operations if operation.type in CONTROL_FLOW]


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
