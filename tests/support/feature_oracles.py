"""Convolutional layers in NumPy, and layers filled with weights, for tests of attention layers."""

import numpy as np


def named_weights(layer):
    """Returns a layer's weights in float64 by name, such as "squeeze/kernel"."""
    arrays = zip(layer.weights, layer.get_weights(), strict=True)
    return {weight_name(weight): array.astype("float64") for weight, array in arrays}


def weight_name(weight):
    """Returns a weight's name, with the name of its part of the layer, in either Keras."""
    path = getattr(weight, "path", weight.name)
    return "/".join(path.removesuffix(":0").split("/")[-2:])


def set_weights(layer, **values):
    """Sets weights named like `squeeze_kernel` for "squeeze/kernel".

    Normalization that isn't named does nothing: its variance and Keras' epsilon of 0.001 sum to 1.
    """
    for weight in layer.weights:
        part, _, kind = weight_name(weight).rpartition("/")
        if kind == "moving_variance":
            weight.assign(np.full(weight.shape, 1 - 1e-3))
        key = f"{part}_{kind}"
        if key in values:
            weight.assign(np.reshape(values.pop(key), weight.shape))
    assert not values, f"no weights {list(values)}"


def randomized(layer, channels, *, seed=0):
    """Returns the layer, built for a number of channels, with random weights."""
    axis = {"channels_last": 3, "channels_first": 1}[layer.data_format]
    shape = [None] * 4
    shape[axis] = channels
    layer.build(tuple(shape))
    generator = np.random.default_rng(seed)
    for weight in layer.weights:
        values = generator.normal(size=tuple(weight.shape))
        is_variance = weight_name(weight).endswith("variance")
        weight.assign(np.abs(values) + 0.5 if is_variance else values)
    return layer


def features(*shape, seed=1):
    """Returns random features."""
    return np.random.default_rng(seed).normal(size=shape)


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def relu(values):
    return np.maximum(values, 0)


def normalized(values, weights, name):
    """Returns the output of batch normalization in inference."""
    gamma, beta, mean, variance = (
        weights[f"{name}/{kind}"] for kind in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    return (values - mean) / np.sqrt(variance + 1e-3) * gamma + beta


def convolved(values, kernel, *, dilation=1, groups=1):
    """Returns a padded convolution, `[batch, height, width, filters]`, computed tap by tap."""
    size, taken, filters = kernel.shape[0], kernel.shape[2], kernel.shape[3] // groups
    edge = dilation * (size // 2)
    padded = np.pad(values, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
    height, width = values.shape[1:3]
    answer = np.zeros((*values.shape[:3], kernel.shape[3]))
    for row, column in np.ndindex(size, size):
        top, left = row * dilation, column * dilation
        seen = padded[:, top : top + height, left : left + width]
        for group in range(groups):
            inputs = seen[..., group * taken : (group + 1) * taken]
            outputs = slice(group * filters, (group + 1) * filters)
            answer[..., outputs] += inputs @ kernel[row, column, :, outputs]
    return answer


def count(layer, channels, *, trainable=False):
    """Returns the number of weights of a layer for a number of channels."""
    layer.build((None, None, None, channels))
    weights = layer.trainable_weights if trainable else layer.weights
    return sum(int(np.prod(weight.shape)) for weight in weights)


# Blocks and channels of the stages of a ResNet50, and the number of its learned weights.
RESNET50_BLOCKS = ((3, 256), (4, 512), (6, 1024), (3, 2048))
RESNET50_COUNT = 25_557_032
