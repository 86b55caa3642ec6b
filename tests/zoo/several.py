"""Models with several towers, and models with attention that is not over image tokens."""

import tempfile

import tensorflow as tf
from tensorflow import keras

from zoo.blocks import (
    FeatureMap,
    LearnedTokens,
    Positions,
    Take,
    classifier,
    encoder,
    encoder_block,
    norm,
    patches,
    perceptron,
)

layers = keras.layers


def image_tower(images, *, size, prefix):
    """Returns the class token of a small Vision Transformer."""
    return Take(0)(encoder(LearnedTokens()(patches(images, 16, size=size)), prefix=prefix))


def two_image_towers():
    """Two encoders of one image, with patches of 8 and of 6 pixels, and one head."""
    images = keras.Input((24, 48, 3))
    left = image_tower(images, size=8, prefix="coarse")
    right = image_tower(images, size=6, prefix="fine")
    return classifier(images, layers.Concatenate()([left, right]))


def two_images():
    """Two image inputs, an encoder for each, and one head."""
    first = keras.Input((24, 48, 3), name="first_image")
    second = keras.Input((32, 24, 3), name="second_image")
    left = image_tower(first, size=8, prefix="first")
    right = image_tower(second, size=8, prefix="second")
    return classifier([first, second], layers.Concatenate()([left, right]))


def image_and_text():
    """An image tower and a text tower, joined by their product."""
    images = keras.Input((32, 24, 3), name="images")
    texts = keras.Input((6,), dtype="int32", name="texts")
    words = Positions()(layers.Embedding(10, 16)(texts))
    text = layers.GlobalAveragePooling1D()(encoder(words, prefix="text"))
    image = image_tower(images, size=8, prefix="image")
    return classifier([images, texts], layers.Multiply()([image, text]))


def two_outputs():
    """One tower with a head for classes and a head for colors, as a dictionary."""
    images = keras.Input((32, 24, 3))
    tokens = encoder(LearnedTokens()(patches(images, 16)))
    classes = layers.Dense(3, "softmax", name="classes")(Take(0)(tokens))
    colors = layers.Dense(2, name="colors")(Take(0)(tokens))
    return keras.Model(images, {"classes": classes, "colors": colors})


class ChannelAttention(layers.Layer):
    """Attention from channels to channels, as in DaViT: `[batch, heads, channels, channels]`."""

    def __init__(self, width, heads, *, normalize=False, **kwargs):
        super().__init__(**kwargs)
        self.heads, self.normalize = heads, normalize
        self.mixed = layers.Dense(3 * width)
        self.projection = layers.Dense(width)

    def call(self, tokens):
        _, count, width = tokens.shape
        mixed = tf.reshape(self.mixed(tokens), [-1, count, 3, self.heads, width // self.heads])
        queries, keys, values = tf.unstack(tf.transpose(mixed, [2, 0, 3, 4, 1]))
        if self.normalize:
            queries, keys = (tf.math.l2_normalize(side, axis=-1) for side in (queries, keys))
        attention = tf.nn.softmax(tf.matmul(queries, keys, transpose_b=True))
        attended = tf.transpose(tf.matmul(attention, values), [0, 3, 1, 2])
        return self.projection(tf.reshape(attended, [-1, count, width]))


def beside_channel_attention(*, width, normalize):
    images = keras.Input((32, 24, 3))
    tokens = patches(images, width)
    for index in range(2):
        tokens = encoder_block(tokens, name=f"attention_{index}")
        channels = ChannelAttention(width, 2, normalize=normalize, name=f"channels_{index}")
        tokens = perceptron(tokens + channels(norm(tokens)))
    return classifier(images, layers.GlobalAveragePooling1D()(norm(tokens)))


def channel_attention():
    """Alternates token attention and DaViT's channel attention; heads of 8 channels, 12 tokens."""
    return beside_channel_attention(width=16, normalize=False)


def cross_covariance():
    """Alternates token attention and XCiT's cross-covariance attention; heads of 8 channels."""
    return beside_channel_attention(width=16, normalize=True)


def as_many_channels_as_tokens():
    """The same with 12 channels per head and 12 tokens, so that sizes can't distinguish them."""
    return beside_channel_attention(width=24, normalize=True)


def detection_decoder():
    """A DETR: an encoder of image tokens, and a decoder of 5 learned object queries."""
    images = keras.Input((32, 24, 3))
    memory = encoder(patches(images, 16), prefix="encoder")
    objects = Objects(5)(memory)
    for index in range(2):
        objects = encoder_block(objects, name=f"decoder_{index}")
        attention = layers.MultiHeadAttention(2, 8, name=f"cross_{index}")
        objects = perceptron(objects + attention(norm(objects), memory))
    return keras.Model(images, layers.Dense(4)(norm(objects)))


class Objects(layers.Layer):
    """Learned object queries `[batch, count, channels]`, whatever the image tokens."""

    def __init__(self, count, **kwargs):
        super().__init__(**kwargs)
        self.count = count

    def build(self, shape):
        self.queries = self.add_weight(
            name="queries", shape=(1, self.count, shape[-1]), initializer="random_normal"
        )

    def call(self, tokens):
        return tf.repeat(self.queries, tf.shape(tokens)[0], axis=0)


def learned_query_pooling():
    """An encoder without a class token, and a learned query that pools its patches."""
    images = keras.Input((32, 24, 3))
    tokens = encoder(patches(images, 16))
    query = Objects(1)(tokens)
    pooled = layers.MultiHeadAttention(2, 8, name="pooling")(query, tokens)
    return classifier(images, Take(0)(pooled))


def pooling_with_registers():
    """Registers before the patches, and a learned query that pools both."""
    images = keras.Input((32, 24, 3))
    tokens = encoder(LearnedTokens(4)(patches(images, 16)))
    pooled = layers.MultiHeadAttention(2, 8, name="pooling")(Objects(1)(tokens), tokens)
    return classifier(images, Take(0)(pooled))


def segmentation():
    """Class probabilities for each pixel: a softmax of rank 4 that isn't attention."""
    images = keras.Input((32, 24, 3))
    features = FeatureMap((4, 3))(encoder(patches(images, 16)))
    return keras.Model(images, layers.Conv2DTranspose(3, 8, 8, activation="softmax")(features))


def convolutions():
    """No attention at all."""
    images = keras.Input((32, 24, 3))
    features = layers.Conv2D(8, 3, activation="relu")(images)
    return classifier(images, layers.GlobalAveragePooling2D()(features))


class Loaded(layers.Layer):
    """A SavedModel's serving function as a layer."""

    def __init__(self, path, **kwargs):
        super().__init__(**kwargs)
        self.loaded = tf.saved_model.load(path)

    def call(self, images):
        return next(iter(self.loaded.signatures["serving_default"](images).values()))


def saved_model():
    """A Vision Transformer from a SavedModel, whose operations are hidden in a function."""
    from zoo.plain import class_token_first

    model = class_token_first()
    with tempfile.TemporaryDirectory() as folder:
        signature = tf.TensorSpec([None, 32, 24, 3])
        serve = tf.function(lambda images: {"output": model(images)}, input_signature=[signature])
        module = tf.Module()
        module.model = model
        module.serve = serve
        tf.saved_model.save(module, folder, signatures=serve)
        images = keras.Input((32, 24, 3))
        return keras.Model(images, Loaded(folder)(images))


def tfsm_layer():
    """The same with Keras' `TFSMLayer`."""
    from zoo.plain import class_token_first

    with tempfile.TemporaryDirectory() as folder:
        class_token_first().export(folder)
        loaded = layers.TFSMLayer(folder, call_endpoint="serve")
        images = keras.Input((32, 24, 3))
        return keras.Model(images, loaded(images))
