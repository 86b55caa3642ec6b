"""Templates: functions whose graph is made once and copied wherever the function is called again.

Building a graph operation by operation in Python takes long, and the layers of a model mostly need
the same operations. A copy has the same operations, so the same bits come out. A gradient tape
doesn't see the operations of a copy, so graphs are copied within `copies` only.
"""

import contextlib
import contextvars
import functools
import inspect
import weakref

import numpy as np
import tensorflow as tf

# The collection of a graph that holds the results of calls in it.
_RESULTS = "keras_attnviz/template_results"
_is_copying = contextvars.ContextVar("is_copying", default=False)


@contextlib.contextmanager
def copies():
    """Lets functions decorated with `templated` copy graphs; for graphs without gradient tapes."""
    token = _is_copying.set(True)
    try:
        yield
    finally:
        _is_copying.reset(token)


def templated(function):
    """Decorates a function or method of tensors, so that its graph is made once and then copied.

    It does so in graphs, within `copies`. A second call with the same tensors then returns the
    tensors of the first one. Elsewhere, the function runs as it is.

    Args:
        function: function from an object, by which the graphs are kept, and further arguments to a
            tensor or a structure of tensors. It is pure: what it computes depends on nothing else.
            Arguments may be tensors, arrays and hashable values; each has a name.
    """
    graphs, signature = weakref.WeakKeyDictionary(), inspect.signature(function)

    @functools.wraps(function)
    def call(owner, *arguments, **options):
        if tf.executing_eagerly() or not _is_copying.get():
            return function(owner, *arguments, **options)
        graph = tf.compat.v1.get_default_graph()
        bound = signature.bind(owner, *arguments, **options)
        bound.apply_defaults()
        named = dict(list(bound.arguments.items())[1:])
        # An eager tensor is captured.
        tensors = {n: tf.convert_to_tensor(each) for n, each in named.items() if tf.is_tensor(each)}
        settled = {name: _key(value) for name, value in named.items() if name not in tensors}
        key = (
            *settled.items(),
            *((name, each.dtype, _shape(each)) for name, each in tensors.items()),
        )
        # Names can't be taken twice in a graph, unlike an `id`.
        inputs = tuple(each.name for each in tensors.values())
        results = _results_of(graph)
        place = (call, id(owner), key, inputs)
        if place not in results:
            made = graphs.setdefault(owner, {})
            if key not in made:
                made[key] = _Template(function, owner, named, tensors)
            # The owner is kept, so that no other object gets its `id`.
            results[place] = (made[key].copied(tensors), owner)
        return results[place][0]

    return call


class _Template:
    """The graph of one call of a function, with placeholders for its tensors."""

    def __init__(self, function, owner, arguments, tensors):
        with tf.Graph().as_default() as graph:
            fed = {
                name: tf.compat.v1.placeholder(each.dtype, each.shape)
                for name, each in tensors.items()
            }
            found = function(owner, **{**arguments, **fed})
        self._found, self._inputs = found, {name: each.name for name, each in fed.items()}
        self._names = [each.name for each in tf.nest.flatten(found)]
        self._read = {each.name for op in graph.get_operations() for each in op.inputs}
        self._graph_def = graph.as_graph_def()
        places = {each.op.name for each in fed.values()}
        computed = [node for node in self._graph_def.node if node.name not in places]
        del self._graph_def.node[:]
        self._graph_def.node.extend(computed)

    def copied(self, tensors):
        """Returns what the function returns for some tensors, in the graph of these."""
        inputs = {self._inputs[name]: each for name, each in tensors.items()}
        computed = [name for name in self._names if name not in inputs]
        found = tf.graph_util.import_graph_def(
            self._graph_def,
            input_map={name: each for name, each in inputs.items() if name in self._read},
            return_elements=computed,
            name="copy",
        )
        given = dict(zip(computed, found, strict=True)) | inputs
        return tf.nest.pack_sequence_as(self._found, [given[name] for name in self._names])


def _shape(tensor):
    return None if tensor.shape.rank is None else tuple(tensor.shape.as_list())


def _key(value):
    """Returns a hashable value that is the same for equal arrays and values."""
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, value.tobytes()
    return value


def _results_of(graph):
    """Returns the dict of results of a graph, which lives as long as the graph."""
    held = graph.get_collection_ref(_RESULTS)
    if not held:
        held.append({})
    return held[0]
