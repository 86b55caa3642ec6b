"""The full pass that a `FixedPass` must equal, cut out of its graph anew."""

import weakref

from keras_attnviz.capture.graph.subgraph import to_the_bit

_functions = weakref.WeakKeyDictionary()


def in_full(fixed):
    """Returns what a function of all fetched tensors and nothing else gives, a dict a batch."""
    if fixed not in _functions:
        _functions[fixed] = to_the_bit(fixed._graph.cut(fixed._all_inputs(), fixed._fetches))
    whole = _functions[fixed]
    return [
        {name: values.numpy() for name, values in fixed._named(whole(*batch)).items()}
        for batch in fixed._batches
    ]
