"""Values for a probing run of a model, made up or taken from an example."""

import numpy as np
import tensorflow as tf

# Size of a probing run's axes whose length a model leaves open, the length of a text say.
_OPEN_LENGTH = 8


def rows_of(example, spec, batch, seed):
    """Returns `batch` rows of an example in a spec's dtype, other ones for another seed."""
    rows = (seed * batch + np.arange(batch)) % len(example)
    return np.asarray(example)[rows].astype(spec.dtype.as_numpy_dtype)


def made_up(generator, name, spec, batch):
    """Returns a NumPy array that suits a spec."""
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
