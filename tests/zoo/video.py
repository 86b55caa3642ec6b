"""Video models like TimeSformer and ViViT, on `[batch, frames, height, width, channels]`.

References:
    Bertasius et al. 2021, "Is Space-Time Attention All You Need for Video Understanding?",
    arXiv 2102.05095, section 3 and the authors' code for the class token; Arnab et al. 2021,
    "ViViT: A Video Vision Transformer", arXiv 2103.15691, section 3.
"""

import tensorflow as tf
from tensorflow import keras

from zoo.blocks import FeatureMap, LearnedTokens, Positions, Take, Tokens, norm, perceptron

layers = keras.layers
# 4 frames of 16 x 24 pixels in patches of 8 x 8: 2 x 3 patches per frame.
FRAMES, SIZE, PATCH, WIDTH = 4, (16, 24), 8, 16
CELLS = SIZE[0] * SIZE[1] // PATCH**2


class Fold(layers.Layer):
    """Moves axis 1 into the batch: `[batch, n, ...]` to `[batch * n, ...]`."""

    def call(self, x):
        return tf.reshape(x, [-1, *x.shape[2:]])


class Unfold(layers.Layer):
    """Takes axis 1 out of the batch again: `[batch * n, ...]` to `[batch, n, ...]`."""

    def __init__(self, count, **options):
        super().__init__(**options)
        self.count = count

    def call(self, x):
        return tf.reshape(x, [-1, self.count, *x.shape[1:]])


class Swap(layers.Layer):
    """Exchanges axes 1 and 2."""

    def call(self, x):
        return tf.transpose(x, [0, 2, 1, 3])


class Repeat(layers.Layer):
    """Repeats a class token for each frame: `[batch, 1, channels]` to `[batch * frames, ...]`."""

    def __init__(self, count, **options):
        super().__init__(**options)
        self.count = count

    def call(self, token):
        return tf.repeat(token, self.count, axis=0)


class MeanOfFrames(layers.Layer):
    """Averages over frames: `[batch * frames, 1, channels]` to `[batch, 1, channels]`."""

    def __init__(self, count, **options):
        super().__init__(**options)
        self.count = count

    def call(self, tokens):
        return tf.reduce_mean(tf.reshape(tokens, [-1, self.count, 1, tokens.shape[-1]]), axis=1)


class Cut(layers.Layer):
    """Takes the tokens from `begin` to `end`."""

    def __init__(self, begin, end=None, **options):
        super().__init__(**options)
        self.begin, self.end = begin, end

    def call(self, tokens):
        return tokens[:, self.begin : self.end]


class Tubelets(layers.Layer):
    """Cuts out blocks of 2 frames and 8 x 8 pixels by reshaping, `[batch, blocks, values]`."""

    def call(self, video):
        _, frames, height, width, channels = video.shape
        size = (frames // 2, height // PATCH, width // PATCH)
        split = tf.reshape(video, [-1, size[0], 2, size[1], PATCH, size[2], PATCH, channels])
        split = tf.transpose(split, [0, 1, 3, 5, 2, 4, 6, 7])
        return tf.reshape(split, [-1, size[0] * size[1] * size[2], 2 * PATCH**2 * channels])


def attended(tokens):
    """Returns the output of self-attention, without the residual."""
    normalized = norm(tokens)
    return layers.MultiHeadAttention(2, WIDTH // 2)(normalized, normalized)


def block(tokens):
    return perceptron(tokens + attended(tokens))


def folded_block(tokens, count):
    """Returns tokens `[batch, count, n, channels]` after attention within each group of n."""
    return tokens + Unfold(count)(attended(Fold()(tokens)))


def frame_patches(video):
    """Returns patch tokens `[batch, frames, patches, channels]` from a convolution per frame."""
    patches = Tokens()(layers.Conv2D(WIDTH, PATCH, PATCH)(Fold()(video)))
    return Unfold(video.shape[1])(patches)


def model_of(body, *, frames=FRAMES, size=SIZE, classes=3):
    """Returns a video classifier; `body` maps videos to features `[batch, channels]`."""
    keras.utils.set_random_seed(5)
    video = keras.Input((frames, *size, 3))
    return keras.Model(video, layers.Dense(classes, "softmax")(body(video)), name="video")


def divided(video, depth=2):
    """Divided space-time attention: over frames at the same position, then within each frame."""
    x = frame_patches(video)
    frames, cells = x.shape[1:3]
    for _ in range(depth):
        x = Swap()(folded_block(Swap()(x), cells))
        x = perceptron(folded_block(x, frames))
    return layers.GlobalAveragePooling1D()(layers.Reshape((frames * cells, WIDTH))(x))


def divided_with_class_token(video, depth=2):
    """The same with a class token that is repeated for each frame and then averaged."""
    x = frame_patches(video)
    frames, cells = x.shape[1:3]
    tokens = LearnedTokens()(layers.Reshape((frames * cells, WIDTH))(x))
    for _ in range(depth):
        token, x = Cut(0, 1)(tokens), layers.Reshape((frames, cells, WIDTH))(Cut(1)(tokens))
        x = Swap()(folded_block(Swap()(x), cells))
        joined = layers.Concatenate(axis=1)([Repeat(frames)(token), Fold()(x)])
        found = attended(joined)
        token = token + MeanOfFrames(frames)(Cut(0, 1)(found))
        x = layers.Reshape((frames * cells, WIDTH))(x + Unfold(frames)(Cut(1)(found)))
        tokens = perceptron(layers.Concatenate(axis=1)([token, x]))
    return Take(0)(tokens)


def joint(video):
    """Joint space-time attention with a class token, ViViT's model 1."""
    x = layers.Reshape((video.shape[1] * CELLS, WIDTH))(frame_patches(video))
    return Take(0)(block(block(LearnedTokens()(Positions()(x)))))


def tubelets(video):
    """The same with tokens of 2 frames each."""
    x = layers.Conv3D(WIDTH, (2, PATCH, PATCH), (2, PATCH, PATCH))(video)
    x = layers.Reshape((x.shape[1] * x.shape[2] * x.shape[3], WIDTH))(x)
    return Take(0)(block(block(LearnedTokens()(Positions()(x)))))


def overlapping_tubelets(video):
    """Tokens of 3 frames, overlapping by one, with pooled patches."""
    x = layers.Conv3D(WIDTH, (3, 16, 16), (2, PATCH, PATCH), padding="same")(video)
    x = layers.Reshape((x.shape[1] * x.shape[2] * x.shape[3], WIDTH))(x)
    return layers.GlobalAveragePooling1D()(block(block(x)))


def reshaped_tubelets(video):
    """Tokens of 2 frames by reshaping and a dense layer."""
    x = layers.Dense(WIDTH)(Tubelets()(video))
    return Take(0)(block(block(LearnedTokens()(x))))


def factorized(video):
    """Attention among a frame's patches, then among the frames' means, ViViT's model 2."""
    x = block(Fold()(frame_patches(video)))
    x = Unfold(video.shape[1])(layers.GlobalAveragePooling1D()(x))
    return Take(0)(block(LearnedTokens()(x)))


def factorized_with_class_tokens(video):
    """The same with a separate class token for each frame."""
    x = block(block(LearnedTokens()(Fold()(frame_patches(video)))))
    x = Unfold(video.shape[1])(Take(0)(x))
    return Take(0)(block(LearnedTokens()(x)))


def frame_features(video):
    """A small convolutional network for each frame, then attention over frames."""
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(Fold()(video))
    x = layers.Conv2D(WIDTH, 3, padding="same", activation="relu")(layers.MaxPooling2D()(x))
    x = Unfold(video.shape[1])(layers.GlobalAveragePooling2D()(x))
    return Take(0)(block(block(LearnedTokens()(Positions()(x)))))


def overlapping_patches(video):
    """Joint attention over patches from convolutions that overlap within a frame."""
    x = layers.Conv2D(WIDTH, 16, PATCH, padding="same")(Fold()(video))
    x = Unfold(video.shape[1])(FeatureMap((1, CELLS))(Tokens()(x)))
    x = layers.Reshape((video.shape[1] * CELLS, WIDTH))(x)
    return layers.GlobalAveragePooling1D()(block(block(x)))


def timesformer():
    return model_of(divided)


def timesformer_class_token():
    return model_of(divided_with_class_token)


def vivit():
    return model_of(joint)


def vivit_tubelets():
    return model_of(tubelets)


def vivit_overlapping_tubelets():
    return model_of(overlapping_tubelets)


def vivit_reshaped_tubelets():
    return model_of(reshaped_tubelets)


def vivit_factorized():
    return model_of(factorized)


def vivit_frame_class_tokens():
    return model_of(factorized_with_class_tokens)


def convolutions_then_frames():
    return model_of(frame_features)


def convolutional_patches():
    return model_of(overlapping_patches)
