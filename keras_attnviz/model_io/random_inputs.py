"""Random inputs: made-up values for a run of a model, or rows of an example."""

import numpy as np
import tensorflow as tf

# Size of the axes whose length a model leaves open, the length of a text for example.
_OPEN_LENGTH = 8


def rows_of(example, spec, batch, seed):
    """Returns rows of an example in a spec's dtype.

    Args:
        example: array `[examples, ...]`.
        spec: `tf.TensorSpec` of that input.
        batch: number of rows. Where the example has fewer, its rows repeat.
        seed: integer. The next seed gives the rows that follow.

    Returns:
        NumPy array `[batch, ...]`.
    """
    rows = (seed * batch + np.arange(batch)) % len(example)
    return np.asarray(example)[rows].astype(spec.dtype.as_numpy_dtype)


def random_values(generator, name, spec, batch):
    """Returns random or constant values for the spec of one of a model's inputs.

    Args:
        generator: `numpy.random.Generator`.
        name: the input's name. With "mask" in it, floats are ones.
        spec: its `tf.TensorSpec` `[None, ...]`.
        batch: number of examples.

    Returns:
        NumPy array `[batch, ...]` of the spec's dtype, see `InputSignature.random`.
    """
    shape = [batch, *(_OPEN_LENGTH if side is None else side for side in spec.shape[1:])]
    dtype = spec.dtype
    if dtype == tf.string:
        return np.full(shape, "", object)
    if spec.shape.rank == 4 and dtype.is_integer:
        return generator.integers(0, min(dtype.max, 255), shape, endpoint=True).astype(
            dtype.as_numpy_dtype
        )
    if not dtype.is_floating or "mask" in name:
        return np.ones(shape, dtype.as_numpy_dtype)
    values = generator.random(shape) if spec.shape.rank == 4 else generator.normal(size=shape)
    return values.astype(dtype.as_numpy_dtype)
