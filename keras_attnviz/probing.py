"""Gradients of an attention map's queries and keys, or of tokens, at a feature map's positions."""

import math

import numpy as np
import tensorflow as tf

from keras_attnviz import graph

# A gradient weaker than this share of the strongest counts as none.
_NEGLIGIBLE = 1e-6
# How far a quotient of gradients may be from a number; half precision needs this much.
_TOLERANCE = 0.03


class PositionGradients:
    """The gradient that arrives at the positions of a tensor, for fed cotangents.

    The tensor is fed with random values, so that only what lies above it is run.

    Args:
        trace: a `Trace` that has observed one image.
        feature_map: symbolic tensor `[batch, height, width, channels]`, or channels first as the
            `data_format` of its operation says, or `[batch, tokens, channels]`.
        arriving: symbolic tensor of the same shape, the gradient.
        fed: placeholders that the gradient is computed from.
        inputs: flat list of the model's inputs, one image.
        randomized: further tensors that are fed with random values.
        others: further tensors that are computed from the placeholders.
    """

    def __init__(self, trace, feature_map, arriving, fed, inputs, *, randomized=(), others=()):
        self._axes = graph.position_axes(feature_map)
        names = _images(trace)
        random = [t for t in (feature_map, *randomized) if t.name not in names]
        generator = np.random.default_rng(2)
        self._arguments = [tf.constant(values) for values in inputs]
        self._arguments += [
            tf.constant(generator.normal(size=trace.shape_of(tensor)), tensor.dtype)
            for tensor in random
        ]
        self._function = trace.function([arriving, *others], feeds=[*random, *fed])
        self.grid = None

    def __call__(self, *cotangents):
        """Returns the gradients `[positions, channels]`, and keeps the positions' `grid`."""
        found = np.moveaxis(self._run(cotangents)[0], self._axes, range(1, len(self._axes) + 1))
        self.grid = found.shape[1:-1]
        return found.reshape(-1, found.shape[-1])

    def others(self, *cotangents):
        """Returns the further tensors' values."""
        return self._run(cotangents)[1:]

    def _run(self, cotangents):
        fed = [tf.constant(values, tf.float32) for values in cotangents]
        found = self._function(*self._arguments, *fed)
        return [values.numpy().astype(float) for values in found]


def _images(trace):
    """Returns the names of the model's inputs, and of what they are cast to."""
    casts = [tensor for image in trace.inputs for tensor in graph.as_floats(image)]
    return {tensor.name for tensor in [*trace.inputs, *casts]}


def _arriving(trace, outputs, cotangents, feature_maps):
    """Returns the gradients at feature maps, symbolic, None where there are none.

    The attention of the layers below is held constant, as are convolutions whose windows
    overlap, so that each query and each key depends on the positions that its token stands for.
    """
    with trace.as_default():
        return graph.gradients(
            outputs, feature_maps, grad_ys=cotangents, stop_gradients=trace.mixing()
        )


def _past_masks(outputs, cotangent, operand, scores, options):
    """Returns the gradient at an operand as if no scores were masked, or None.

    Otherwise a query that may see no key, or a key that no query sees, would have no gradient.
    """
    for masked, unmasked in reversed(graph.masks_between(operand, scores)):
        (cotangent,) = graph.gradients(outputs, [masked], grad_ys=cotangent, **options)
        outputs = unmasked
        if cotangent is None:
            return None
    return graph.gradients(outputs, [operand], grad_ys=cotangent, **options)[0]


class ScoreGradients:
    """Gradients of an attention map's scores through its queries or its keys alone.

    Args:
        trace: a `Trace`.
        site: one of its `AttentionSite`s.
        shape: the map's shape for one image, `[merged with batch, ..., *queries, *keys]`.
        order: the map's axes in that order.
        key_axes: number of key axes, as many as there are query axes.
        inputs: flat list of the model's inputs, one image.
    """

    def __init__(self, trace, site, shape, *, order, key_axes, inputs):
        self._trace, self._site, self._inputs = trace, site, inputs
        self.leading = shape[: -2 * key_axes]
        self._shape = shape
        self._sizes = {"queries": shape[-2 * key_axes : -key_axes], "keys": shape[-key_axes:]}
        self._cotangent = np.random.default_rng(0).normal(size=shape).astype("float32")
        self._found, self._arriving, self._sides = {}, {}, None
        # All at once, because each call for gradients goes through the whole graph.
        self._feature_maps = trace.feature_maps(site)
        with trace.as_default():
            self._fed = [tf.compat.v1.placeholder(tf.float32, shape) for _ in site.operands]
            scores = tf.transpose(site.scores, order)
            # Keys may be computed from the queries, or the other way round.
            constant = {"stop_gradients": list(site.operands)}
            cotangents = [tf.cast(fed, scores.dtype) for fed in self._fed]
            self._at_operands = [
                _past_masks(scores, cotangent, operand, site.scores, constant)
                for operand, cotangent in zip(site.operands, cotangents, strict=True)
            ]
        names = {operand.name for operand in site.operands}
        self.has_gradients = len(names) == 2 and None not in self._at_operands

    def at(self, feature_map, side):
        """Returns functions to the gradients at a feature map's positions, or None.

        Args:
            feature_map: see `PositionGradients`.
            side: `"queries"` or `"keys"`.

        Returns:
            `grid, of_leading, of_slots`: the positions' `(height, width)` or `(tokens,)`; a
            function from a factor `[*leading]` of the gradients that flow into the scores to those
            that arrive at the feature map, `[positions, channels]`; and one from a factor
            `[*leading, slots]`. None where no gradient arrives, or where the feature map is not
            one of the image.
        """
        if feature_map.name not in self._found:
            self._found[feature_map.name] = self._gradients(feature_map)
        gradients, sides = self._found[feature_map.name]
        if gradients is None:
            return None
        index = sides.index(side)

        def of_scores(factor):
            factors = [np.zeros(self._shape)] * 2
            factors[index] = self._cotangent * factor
            return gradients(*factors)

        of_scores(1)

        def of_leading(factor):
            ones = [1] * (len(self._shape) - len(self.leading))
            return of_scores(factor.reshape(*self.leading, *ones))

        def of_slots(factor):
            return of_scores(factor.reshape(*self.leading, *self._axes_of(side)))

        return gradients.grid, of_leading, of_slots

    def asking(self, slots):
        """Returns those of some keys that are computed from a token that a query comes from too.

        So a class token that asks is told from a learned query beside registers. Is only known
        after `at` has found gradients.

        Args:
            slots: numbers of keys.
        """
        operands = [self._site.operands[self._sides.index(side)] for side in ("queries", "keys")]
        at_operands = [self._at_operands[self._sides.index(side)] for side in ("queries", "keys")]
        tensors = _common_ancestors(*operands)
        arriving = [
            _arriving(self._trace, [operand], [cotangent], tensors)
            for operand, cotangent in zip(operands, at_operands, strict=True)
        ]
        pairs = [pair for pair in zip(*arriving, strict=True) if None not in pair]
        random = np.random.default_rng(2)
        values = [random.normal(size=self._trace.shape_of(operand)) for operand in operands]
        arguments = [
            tf.constant(value, operand.dtype)
            for value, operand in zip(values, operands, strict=True)
        ]
        function = self._trace.function(pairs, feeds=[*operands, *self._fed])
        found = []
        for slot in slots:
            is_slot = (np.arange(math.prod(self._sizes["keys"])) == slot).astype("float32")
            factors = {"queries": 1.0, "keys": is_slot.reshape(self._axes_of("keys"))}
            fed = [tf.constant(self._cotangent * factors[side]) for side in self._sides]
            if any(map(_meet, function(*self._inputs, *arguments, *fed))):
                found.append(slot)
        return found

    def _axes_of(self, side):
        """Returns the shape of one side's slots among the query and key axes."""
        own, ones = self._sizes[side], [1] * len(self._sizes[side])
        return [*own, *ones] if side == "queries" else [*ones, *own]

    def _gradients(self, feature_map):
        """Returns the `PositionGradients`, and which operand holds which side; or None, None."""
        if feature_map.name not in self._arriving:
            together = [feature_map, *self._feature_maps]
            if feature_map.name not in {tensor.name for tensor in self._feature_maps}:
                together = [feature_map]
            operands = list(self._site.operands)
            found = _arriving(self._trace, operands, self._at_operands, together)
            names = [tensor.name for tensor in together]
            self._arriving.update(zip(names, found, strict=True))
        arriving = self._arriving[feature_map.name]
        names = _images(self._trace)
        shape = self._trace.shape_of(feature_map) or [int(feature_map.name in names)]
        if arriving is None or shape[0] != 1:
            return None, None
        # Random queries and keys, because a token that is initialized with zeros has no gradients.
        operands = [t for t in self._site.operands if t.name != feature_map.name]
        gradients = PositionGradients(
            self._trace,
            feature_map,
            arriving,
            self._fed,
            self._inputs,
            randomized=operands,
            others=self._at_operands,
        )
        sides = self._by_side(gradients)
        self._sides = self._sides or sides
        return (gradients, sides) if sides else (None, None)

    def _by_side(self, gradients):
        """Returns which operand holds the queries and which the keys, or None.

        Where the rows of scores are multiplied by 1 or 2 each, so are the gradients of the queries;
        those of the keys are mixtures, also under a mask.
        """
        side = "queries" if np.prod(self._sizes["queries"]) > 1 else "keys"
        factors = 1.0 + np.random.default_rng(1).permutation(np.prod(self._sizes[side])) % 2
        coded = self._cotangent * factors.reshape(self._axes_of(side))
        bases = gradients.others(self._cotangent, self._cotangent)
        pairs = list(zip(gradients.others(coded, coded), bases, strict=True))
        if not all(np.isfinite(values).all() for pair in pairs for values in pair):
            return None
        shares = [_share_multiplied(found, base) for found, base in pairs]
        if shares[0] == shares[1]:
            return None
        other = "keys" if side == "queries" else "queries"
        return (side, other) if shares[0] > shares[1] else (other, side)


def _share_multiplied(gradient, base):
    """Returns the share of the entries of a gradient that are its base's, or double."""
    is_there = np.abs(base) > _NEGLIGIBLE * np.abs(base).max()
    quotient = gradient[is_there] / base[is_there]
    nearest = np.clip(np.round(quotient), 1, 2)
    return np.mean(np.abs(quotient - nearest) < _TOLERANCE) if is_there.any() else 0.0


def _common_ancestors(first, second):
    """Returns the tensors of tokens that both of two tensors are computed from."""
    below = [{operation.name: operation for operation in _below(each)} for each in (first, second)]
    outputs = [
        output for name in below[0].keys() & below[1].keys() for output in below[0][name].outputs
    ]
    return [
        tensor
        for tensor in outputs
        if tensor.dtype.is_floating and (tensor.shape.rank or 0) >= 3 and tensor.shape[0] is None
    ]


def _below(tensor):
    """Returns the operations that a tensor is computed from."""
    found, waiting = {}, [tensor.op]
    while waiting:
        operation = waiting.pop()
        if operation.name not in found:
            found[operation.name] = operation
            waiting.extend(source.op for source in operation.inputs)
    return list(found.values())


def _meet(gradients):
    """Tells whether two gradients arrive at one and the same position of a tensor."""
    strengths = [np.abs(gradient.numpy().astype(float)).max(axis=-1) for gradient in gradients]
    reached = [strength > _NEGLIGIBLE * strength.max(initial=0) for strength in strengths]
    return bool((reached[0] & reached[1]).any())


def token_gradients(trace, feature_map, tokens, inputs):
    """Returns a function from factors `[tokens]` to gradients at a feature map's positions.

    Args:
        trace: a `Trace`.
        feature_map: see `PositionGradients`.
        tokens: symbolic tensor of one of these forms, computed from the feature map.
        inputs: flat list of the model's inputs, one image.

    Returns:
        `(grid, gradient)`, or None where no gradient arrives or the tokens are not one image's.
    """
    shape = trace.shape_of(tokens)
    if shape is None or shape[0] != 1:
        return None
    with trace.as_default():
        fed = tf.compat.v1.placeholder(tf.float32, shape)
        cotangent = tf.cast(fed, tokens.dtype)
    (arriving,) = _arriving(trace, [tokens], [cotangent], [feature_map])
    if arriving is None:
        return None
    gradients = PositionGradients(trace, feature_map, arriving, [fed], inputs)
    random = np.random.default_rng(1).normal(size=shape)
    axes = graph.position_axes(tokens)

    def gradient(factor):
        sizes = [size if axis in axes else 1 for axis, size in enumerate(shape)]
        return gradients(random * factor.reshape(sizes))

    gradient(np.ones([shape[axis] for axis in axes]))
    return gradients.grid, gradient
