"""Fixed passes: a model on inputs that stay the same; what training can't change runs once."""

import functools
import logging
import math

import tensorflow as tf

from keras_attnviz.capture.graph.fingerprints import Fingerprints, has_fingerprint
from keras_attnviz.capture.graph.frozen_split import split
from keras_attnviz.capture.graph.subgraph import to_the_bit
from keras_attnviz.model_io.calling import all_layers, parts_of
from keras_attnviz.model_io.workers import own_variables

# The most bytes of intermediate tensors that are kept, see `FixedPass`.
KEPT_BYTES = 1e9
# If more than this share of the operations must run again, keeping isn't worth its memory.
_WORTH = 0.95
_log = logging.getLogger("keras_attnviz")


class FixedPass:
    """Computes some tensors of a model's graph for fixed inputs, again and again.

    In transfer learning, most of a model is frozen. The first call computes what depends on no
    variable that training can change, in the same run as all the rest. It keeps these results and
    the tensors that the rest is computed from, and later calls run only the rest. Each call checks
    whether the kept tensors are still valid: which layers are trainable, and, by `Fingerprints`,
    whether any frozen variable has another value. If they are not, everything is computed again. So
    results never differ from those of a full pass; where nothing can be kept, they differ by no
    more than rounding.

    Variables that can change are all variables of trainable layers, moving averages of
    BatchNormalization among them, and all variables outside the model. A change of any other
    variable is noticed.

    Args:
        model: the Keras model.
        graph: the `TracedGraph` of one call of it.
        fetches: dict from name to symbolic tensor.
        feeds: list of symbolic tensors that are fed beside the model's inputs.
        watched: list of symbolic tensors that `frozen` is about.
        batches: list of flat lists of arrays, the model's inputs and then the feeds.
        kept_bytes: the most bytes that are kept; batches beyond that are computed in full.

    Attributes:
        share: share of the operations that run again at each call, in [0, 1].
        frozen: list of bools, one for each watched tensor: whether training can't change it.
        kept: number of bytes that are kept.
        traces: number of functions that have been traced so far.
    """

    def __init__(self, model, graph, fetches, *, feeds, batches, watched=(), kept_bytes=KEPT_BYTES):
        self._model, self._graph, self._limit = model, graph, kept_bytes
        self._names, self._fetches = list(fetches), list(fetches.values())
        self._feeds, self._batches, self._watched = feeds, batches, watched
        self.share, self.frozen, self.kept, self.traces = 1.0, [], 0, 0
        self._trained = self._split = None
        # Of a model that isn't divided, sums may be rewritten. That is faster by a twentieth, and
        # may round differently.
        self._undivided = self._function(self._all_inputs(), self._fetches, change=lambda cut: cut)
        self.forget()

    def look(self):
        """Looks at what training can change now, and sets `share` and `frozen`; runs nothing."""
        # A look at variables must not wait for another worker.
        with own_variables(self._model):
            trained = self._trained_handles()
            if trained != self._trained:
                self._plan(trained)

    def __call__(self):
        """Returns a list with a dict from name to eager tensor for each batch."""
        self.look()
        if self._split is None:
            return [self._named(self._undivided(*batch)) for batch in self._batches]
        prints = self.fingerprint()
        if self._prints is not None and not self._fingerprints.are_equal(prints, self._prints):
            _log.debug("Frozen variables have changed; running the probes in full again.")
            self.forget()
        self._prints = prints
        return [self._of_batch(number) for number in range(len(self._batches))]

    def forget(self):
        """Drops what is kept; the next call computes it again."""
        self._kept, self._prints, self.kept = {}, None, 0

    def fingerprint(self):
        """Returns the fingerprints of the frozen variables as they are now, see `Fingerprints`."""
        return self._fingerprints()

    def shape(self, name):
        """Returns the shape of one of the fetched tensors."""
        return self._fetches[self._names.index(name)].shape

    def _of_batch(self, number):
        """Returns the tensors of a batch, computed from what is kept of it."""
        kept = self._kept.get(number)
        if kept is None:
            return self._in_full(number)
        count = len(self._split.clean)
        clean, dirty = self._parts
        found = dict(zip(clean, kept[:count], strict=True))
        found |= zip(dirty, self._tail(*kept[count:]), strict=True)
        return {name: found[name] for name in self._names}

    def _in_full(self, number):
        """Returns the tensors of a batch from a full pass, and keeps what fits of the frontier."""
        found = self._whole(*self._batches[number])
        results, frontier = found[: len(self._fetches)], found[len(self._fetches) :]
        named = self._named(results)
        if number not in self._kept:
            kept = [*(named[name] for name in self._parts[0]), *frontier]
            size = sum(math.prod(tensor.shape) * tensor.dtype.size for tensor in kept)
            fits = self.kept + size <= self._limit
            self._kept[number] = kept if fits else None
            self.kept += size * fits
        return named

    def _named(self, values):
        return dict(zip(self._names, values, strict=True))

    def _plan(self, trained):
        """Splits the function by the variables that can change now."""
        self._trained, self._split = trained, None
        self.forget()
        captures = self._graph.captures()
        parts = [part for v in self._model.variables for part in parts_of(v)]
        known = {id(part.handle) for part in parts if has_fingerprint(part)}
        changing = [
            inner
            for inner, outer in captures
            if outer.dtype == tf.resource and (id(outer) in trained or id(outer) not in known)
        ]
        found = split(
            self._graph.all_operations(),
            self._fetches,
            inputs=self._all_inputs(),
            changing=changing,
        )
        self.share = found.share
        self.frozen = [not found.changes.any(tensor) for tensor in self._watched]
        if found.share > _WORTH or self._size(found) > self._limit:
            self.share = 1.0
            return
        self._split = found
        changes = {id(tensor) for tensor in found.dirty}
        named = list(zip(self._names, self._fetches, strict=True))
        self._parts = [
            [name for name, tensor in named if (id(tensor) in changes) == is_dirty]
            for is_dirty in (False, True)
        ]
        self._whole = self._function(self._all_inputs(), [*self._fetches, *found.frontier])
        self._tail = self._function(found.frontier, found.dirty)
        frozen = known & {id(outer) for _, outer in captures} - trained
        self._fingerprints = Fingerprints([part for part in parts if id(part.handle) in frozen])

    def _size(self, found):
        """Returns the number of bytes that one batch takes, as far as shapes are known."""
        batch = len(self._batches[0][0])
        return sum(
            math.prod(batch if side is None else side for side in tensor.shape) * tensor.dtype.size
            for tensor in [*found.clean, *found.frontier]
            if tensor.shape.rank is not None
        )

    def _trained_handles(self):
        """Returns the handles of all variables that training can change, a frozen set of ids."""
        layers = [self._model, *all_layers(self._model)]
        variables = [v for each in layers if each.trainable for v in own_variables_of(each)]
        # In Keras 2, these include variables of modules that are no layers.
        variables += self._model.trainable_variables
        return frozenset(id(part.handle) for v in variables for part in parts_of(v))

    def _all_inputs(self):
        return [*self._graph.inputs, *self._feeds]

    def _function(self, feeds, fetches, *, change=to_the_bit):
        """Returns a function of the graph, which is cut out at its first call."""

        @functools.cache
        def cut():
            self.traces += 1
            return change(self._graph.cut(feeds, fetches))

        return lambda *arguments: cut()(*arguments)


def own_variables_of(layer):
    """Returns the variables of a layer itself, without the variables of layers in it."""
    names = (
        "_trainable_variables",
        "_non_trainable_variables",
        "_trainable_weights",
        "_non_trainable_weights",
    )
    return [variable for name in names for variable in getattr(layer, name, ())]
