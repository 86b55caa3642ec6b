"""A Vision Transformer in plain Keras layers, for a stack without vit-keras models."""

import tensorflow as tf
from tensorflow import keras


def build_model(
    *,
    image_size,
    patch_size,
    num_layers,
    hidden_size,
    num_heads,
    mlp_dim,
    name,
    classes,
    include_top,
    activation,
):
    """Returns a model with pre-norm blocks, class token first; arguments as in vit-keras."""
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    images = keras.Input((height, width, 3))
    tokens = keras.layers.Conv2D(hidden_size, patch_size, patch_size, name="embedding")(images)
    count = (height // patch_size) * (width // patch_size)
    tokens = keras.layers.Reshape((count, hidden_size))(tokens)
    tokens = ClassTokenAndPositions(name="class_token")(tokens)
    for index in range(num_layers):
        block = Block(num_heads, mlp_dim, name=f"Transformer_encoderblock_{index}")
        tokens = block(tokens)
    tokens = keras.layers.LayerNormalization(name="Transformer_encoder_norm")(tokens)
    outputs = FirstToken(name="first_token")(tokens)
    if include_top:
        outputs = keras.layers.Dense(classes, activation, name="head")(outputs)
    return keras.Model(images, outputs, name=name)


@keras.utils.register_keras_serializable("plain_vit")
class ClassTokenAndPositions(keras.layers.Layer):
    """Puts a learned token before the patches and adds learned positions to all."""

    def build(self, input_shape):
        tokens, hidden = input_shape[1] + 1, input_shape[2]
        self.token = self.add_weight(shape=(1, 1, hidden), initializer="zeros", name="token")
        self.positions = self.add_weight(
            shape=(1, tokens, hidden), initializer="random_normal", name="positions"
        )

    def call(self, inputs):
        token = tf.cast(self.token, inputs.dtype)
        token = tf.repeat(token, tf.shape(inputs)[0], axis=0)
        return tf.concat([token, inputs], axis=1) + tf.cast(self.positions, inputs.dtype)


@keras.utils.register_keras_serializable("plain_vit")
class Attention(keras.layers.Layer):
    """Self-attention over the tokens `[batch, tokens, hidden]`, without masks or dropout."""

    def __init__(self, heads, **options):
        super().__init__(**options)
        self.heads = heads

    def build(self, input_shape):
        hidden = input_shape[-1]
        self.projection = keras.layers.Dense(3 * hidden, name="projection")
        self.out = keras.layers.Dense(hidden, name="out")
        self.head_size = hidden // self.heads

    def call(self, inputs):
        projected = self.projection(inputs)
        shape = tf.concat([tf.shape(inputs)[:2], [3, self.heads, self.head_size]], axis=0)
        query, key, value = tf.unstack(tf.reshape(projected, shape), axis=2)
        scores = tf.einsum("bqhd,bkhd->bhqk", query * self.head_size**-0.5, key)
        read = tf.einsum("bhqk,bkhd->bqhd", tf.nn.softmax(scores), value)
        return self.out(tf.reshape(read, tf.shape(inputs)))

    def get_config(self):
        return super().get_config() | {"heads": self.heads}


@keras.utils.register_keras_serializable("plain_vit")
class Block(keras.layers.Layer):
    """A transformer block: attention and an MLP, each after a norm and with a residual."""

    def __init__(self, heads, mlp_dim, **options):
        super().__init__(**options)
        self.heads, self.mlp_dim = heads, mlp_dim

    def build(self, input_shape):
        self.first_norm = keras.layers.LayerNormalization(name="first_norm")
        self.attention = Attention(self.heads, name="attention")
        self.second_norm = keras.layers.LayerNormalization(name="second_norm")
        self.wide = keras.layers.Dense(self.mlp_dim, "gelu", name="wide")
        self.narrow = keras.layers.Dense(input_shape[-1], name="narrow")

    def call(self, inputs):
        inputs = inputs + self.attention(self.first_norm(inputs))
        return inputs + self.narrow(self.wide(self.second_norm(inputs)))

    def get_config(self):
        return super().get_config() | {"heads": self.heads, "mlp_dim": self.mlp_dim}


@keras.utils.register_keras_serializable("plain_vit")
class FirstToken(keras.layers.Layer):
    """Takes the first token `[batch, hidden]`."""

    def call(self, inputs):
        return inputs[:, 0]
