"""Functions cut out of a graph."""

import contextlib

import tensorflow as tf

from keras_attnviz.capture.graph.walks import ancestors


def cut(source, feeds, fetches, captures, *, order=None):
    """Returns a function cut out of a graph.

    `WrappedFunction.prune` does the same, but copies operation by operation in Python and takes ten
    times as long.

    Args:
        source: the graph of a function.
        feeds: symbolic tensors, the function's arguments.
        fetches: structure of symbolic tensors, the function's results.
        captures: dict from the names of placeholders to the outside tensors that they stand for.
        order: function from the function's operations, in the graph's order, to a dict from the
            names of some to lists of the names of those that they wait for; see `waits`.
    """
    flat = tf.nest.flatten(fetches)
    fed = {tensor.name for tensor in feeds} | set(captures)
    graph_def, operations = _part(source, flat, fed)
    read = {tensor.name for operation in operations for tensor in operation.inputs}
    if order is not None:
        _make_wait(graph_def, order(_in_order(source, operations)))

    def call(*arguments):
        given = {tensor.name: value for tensor, value in zip(feeds, arguments, strict=True)}
        capture = tf.compat.v1.get_default_graph().capture
        given.update({name: capture(outer) for name, outer in captures.items() if name in read})
        computed = [tensor.name for tensor in flat if tensor.name not in given]
        found = tf.graph_util.import_graph_def(
            graph_def,
            input_map={name: value for name, value in given.items() if name in read},
            return_elements=computed,
            name="",
        )
        given.update(zip(computed, found, strict=True))
        return tf.nest.pack_sequence_as(fetches, [given[tensor.name] for tensor in flat])

    specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in feeds]
    function = tf.compat.v1.wrap_function(call, specs)
    # With these, a gradient tape watches the variables.
    function.graph.variables = source.variables
    return function


def _in_order(source, operations):
    part = set(operations)
    return [operation for operation in source.get_operations() if operation in part]


def _make_wait(graph_def, waiting):
    """Adds control inputs to the nodes of a graph definition, see `cut`."""
    for node in graph_def.node:
        node.input.extend(f"^{name}" for name in waiting.get(node.name, ()))


def repeated(fetch, tensor, other):
    """Returns `fetch` computed a second time in its graph, from `other` instead of `tensor`.

    All three are symbolic. Variables and inputs stay the same.
    """
    source = fetch.graph
    graph_def, operations = _part(source, [fetch], {tensor.name})
    places = {o.outputs[0].name: o.outputs[0] for o in operations if o.type == "Placeholder"}
    computed = [node for node in graph_def.node if node.op != "Placeholder"]
    del graph_def.node[:]
    graph_def.node.extend(computed)
    with source.as_default():
        (found,) = tf.graph_util.import_graph_def(
            graph_def,
            input_map={**places, tensor.name: other},
            return_elements=[fetch.name],
            name="repeated",
        )
    return found


def unoptimized(function):
    """Returns a function that computes the same, but whose graph isn't optimized first.

    For a function that is called only a few times, optimizing takes longer than it saves.
    """
    return _under(function, "disable_meta_optimizer", True)


def to_the_bit(function):
    """Returns a function whose sums and products are computed in the order of the graph.

    So parts of a graph give the same bits as the whole. Otherwise TensorFlow rewrites sums and
    products into others that round differently. Which of them it rewrites depends on what else is
    in the function.
    """
    return _under(function, "arithmetic_optimization", False)


def _under(function, name, value):
    """Returns a function that runs with an option of TensorFlow's graph optimizer."""

    def call(*arguments):
        with _optimizer_option(name, value):
            return function(*arguments)

    return call


@contextlib.contextmanager
def _optimizer_option(name, value):
    options = tf.config.optimizer
    before = options.get_experimental_options().get(name, not value)
    options.set_experimental_options({name: value})
    try:
        yield
    finally:
        options.set_experimental_options({name: before})


def _part(source, fetches, fed):
    """Returns the part of a graph that computes `fetches` from the tensors named in `fed`.

    The part is a graph definition and a list of operations.
    """

    def needed(operation):
        read = [tensor.op for tensor in operation.inputs if tensor.name not in fed]
        return [*read, *operation.control_inputs]

    fetched = [tensor.op for tensor in fetches if tensor.name not in fed]
    operations = ancestors(fetched, following=needed)
    names = {operation.name for operation in operations}
    graph_def = tf.compat.v1.GraphDef()
    whole = source.as_graph_def()
    graph_def.node.extend(node for node in whole.node if node.name in names)
    for node in graph_def.node:
        node.attr.pop("_class", None)  # It may ask for the device of a node that is cut off.
    graph_def.library.CopyFrom(whole.library)
    graph_def.versions.CopyFrom(whole.versions)
    return graph_def, operations
