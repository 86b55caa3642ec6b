"""Graphs divided by what may change in them, on graphs of a few operations."""

import tensorflow as tf

from keras_attnviz.capture.graph.frozen_split import split


def graph_of(build):
    """Returns the operations of a small graph and what `build` has given, a dict of tensors."""
    found = {}

    def traced(x):
        found.update(build(x))
        return found["out"]

    wrapped = tf.compat.v1.wrap_function(traced, [tf.TensorSpec([None, 3])])
    operations = wrapped.graph.get_operations()
    return operations, {"x": wrapped.inputs[0], **found}, wrapped.graph


def names(tensors):
    return [tensor.name for tensor in tensors]


def test_a_chain_is_cut_where_it_begins_to_change():
    frozen, trained = tf.Variable(2.0), tf.Variable(3.0)

    def build(x):
        clean = tf.nn.relu(x * frozen, name="clean")
        return {"clean": clean, "out": tf.exp(clean * trained, name="out")}

    operations, found, graph = graph_of(build)
    handles = {id(outer): inner for outer, inner in graph.captures}
    parts = split(
        operations,
        [found["clean"], found["out"]],
        inputs=[found["x"]],
        changing=[handles[id(trained.handle)]],
    )
    assert names(parts.clean) == names([found["clean"]])
    assert names(parts.dirty) == names([found["out"]])
    assert names(parts.frontier) == names([found["clean"]])
    assert 0 < parts.share < 1


def test_frozen_weights_are_read_again_rather_than_kept():
    frozen, trained = tf.Variable([[1.0]] * 3), tf.Variable(3.0)

    def build(x):
        return {"out": tf.matmul(x * trained, frozen, name="out")}

    operations, found, graph = graph_of(build)
    handles = {id(outer): inner for outer, inner in graph.captures}
    changing = [handles[id(trained.handle)]]
    parts = split(operations, [found["out"]], inputs=[found["x"]], changing=changing)
    assert names(parts.frontier) == names([found["x"]])


def test_the_shape_of_what_is_clean_is_kept_too():
    trained = tf.Variable(3.0)

    def build(x):
        clean = tf.nn.relu(x)
        return {"out": tf.reshape(x[:, :1] * trained, tf.shape(clean)[:1], name="out")}

    operations, found, graph = graph_of(build)
    changing = [inner for _, inner in graph.captures]
    parts = split(operations, [found["out"]], inputs=[found["x"]], changing=changing)
    # Without it, what it is the shape of would have to be computed again.
    assert any(tensor.dtype == tf.int32 for tensor in parts.frontier)
    assert not any("Relu" in tensor.op.type for tensor in parts.frontier)


def test_random_numbers_change():
    def build(x):
        noisy = x + tf.random.normal(tf.shape(x))
        return {"clean": tf.nn.relu(x), "out": tf.identity(noisy, name="out")}

    operations, found, _ = graph_of(build)
    fetches = [found["clean"], found["out"]]
    parts = split(operations, fetches, inputs=[found["x"]], changing=[])
    assert names(parts.dirty) == names([found["out"]])
    assert names(parts.clean) == names([found["clean"]])


def test_where_nothing_changes_all_is_clean():
    operations, found, _ = graph_of(lambda x: {"out": tf.nn.relu(x)})
    parts = split(operations, [found["out"]], inputs=[found["x"]], changing=[])
    assert (parts.dirty, parts.frontier, parts.share) == ([], [], 0)
