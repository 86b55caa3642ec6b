"""The gradient of an attention map's queries or keys at each position of a feature map."""

import numpy as np
import tensorflow as tf

from keras_attnviz import graph


class ScoreGradients:
    """Gradients of an attention map's scores through its queries or its keys alone.

    The attention of the layers below is held constant, as are convolutions whose windows
    overlap, so that each query and each key depends on the positions that its token stands for.

    Args:
        trace: a `Trace`.
        site: one of its `AttentionSite`s.
        shape: the map's shape for one image, `[merged with batch, ..., *queries, *keys]`.
        key_axes: number of key axes, as many as there are query axes.
        inputs: flat list of the model's inputs, one image.
    """

    def __init__(self, trace, site, shape, *, key_axes, inputs):
        self._trace, self._site, self._inputs = trace, site, inputs
        self._shape = shape
        self._leading = shape[: -2 * key_axes]
        self._sizes = {
            "queries": shape[-2 * key_axes : -key_axes],
            "keys": shape[-key_axes:],
        }
        self._cotangent = np.random.default_rng(0).normal(size=shape).astype("float32")
        with trace.as_default():
            self._fed = tf.compat.v1.placeholder(tf.float32, shape)
            scaled = tf.cast(self._fed, site.scores.dtype)
            self._at_operands = tf.gradients(site.scores, list(site.operands), grad_ys=scaled)
        self._operands = self._by_side()

    @property
    def has_gradients(self):
        """Whether the scores' two factors were found, and gradients pass to them."""
        return self._operands is not None

    def at(self, side, feature_map):
        """Returns a function to the gradients at a feature map's positions, or None.

        Args:
            side: `"queries"` or `"keys"`.
            feature_map: symbolic tensor of rank 4.

        Returns:
            `(height, width), of_leading, of_slots`: the grid; a function from a factor
            `[*leading]` of the gradients that flow into the scores to those that arrive at the
            feature map, `[height * width, channels]`; and one from a factor `[*leading, slots]`.
            None where no gradient arrives, or the feature map is not one of the image.
        """
        index = self._operands[side]
        with self._trace.as_default():
            (arriving,) = tf.gradients(
                self._site.operands[index],
                feature_map,
                grad_ys=self._at_operands[index],
                stop_gradients=self._trace.mixing(),
            )
        if arriving is None:
            return None
        if graph.spatial_axes(feature_map) == (2, 3):
            with self._trace.as_default():
                arriving = tf.transpose(arriving, [0, 2, 3, 1])
        function = self._trace.function([arriving], feeds=[self._fed])
        batch, height, width, channels = self._run(function, np.ones(self._shape)).shape
        if batch != 1:
            return None

        def of_scores(factor):
            return self._run(function, factor).reshape(height * width, channels)

        def of_leading(factor):
            ones = [1] * (len(self._shape) - len(self._leading))
            return of_scores(factor.reshape(*self._leading, *ones))

        def of_slots(factor):
            own, ones = self._sizes[side], [1] * len(self._sizes[side])
            sizes = [*own, *ones] if side == "queries" else [*ones, *own]
            return of_scores(factor.reshape(*self._leading, *sizes))

        return (height, width), of_leading, of_slots

    def _run(self, function, factor):
        (found,) = function(*self._inputs, tf.constant(self._cotangent * factor, tf.float32))
        return found.numpy().astype(float)

    def _by_side(self):
        """Returns which operand holds the queries and which the keys, or None."""
        operands, gradients = self._site.operands, self._at_operands
        if len(operands) != 2 or operands[0].name == operands[1].name or None in gradients:
            return None
        # The gradient of one row of scores reaches one query and all keys.
        side = "queries" if np.prod(self._sizes["queries"]) > 1 else "keys"
        first = np.zeros(self._sizes[side])
        first.flat[0] = 1
        ones = [1] * len(self._sizes[side])
        sizes = [*first.shape, *ones] if side == "queries" else [*ones, *first.shape]
        row = self._cotangent * first.reshape(sizes)
        function = self._trace.function(gradients, feeds=[self._fed])
        found = [
            g.numpy().astype(float) for g in function(*self._inputs, tf.constant(row, tf.float32))
        ]
        reached = [np.count_nonzero(gradient) / gradient.size for gradient in found]
        if not all(np.isfinite(gradient).all() for gradient in found) or reached[0] == reached[1]:
            return None
        index = int(np.argmin(reached))
        other = "keys" if side == "queries" else "queries"
        return {side: index, other: 1 - index}
