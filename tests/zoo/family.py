"""Model families: a row of the table of families, and the stack that runs here."""

import dataclasses
import functools
import importlib
import sys

KERAS_3 = "Keras 3"
OLDEST_KERAS_3 = "oldest Keras 3"
TF_KERAS = "tf_keras"
TF_KERAS_2 = "tf.keras 2"
EVERY_STACK = (KERAS_3, OLDEST_KERAS_3, TF_KERAS, TF_KERAS_2)
BOTH_KERAS_3 = (KERAS_3, OLDEST_KERAS_3)

READOUTS = ("class token", "class and distillation token", "all patches", "all tokens")


@dataclasses.dataclass(frozen=True)
class Maps:
    """Consecutive maps of one size.

    Args:
        kind: see `AttentionMap.kind`.
        count: number of maps.
        heads: number of heads.
        queries: number of query tokens, in one group.
        keys: number of key tokens, in one group.
        groups: number of groups of tokens in an image.
    """

    kind: str
    count: int
    heads: int
    queries: int
    keys: int
    groups: int = 1


@dataclasses.dataclass(frozen=True)
class Family:
    """A family of models with a small example model and the expected results.

    Args:
        name: the family's usual name.
        origin: the package that the model is from, or `"written here"`.
        build: `"module.function"` in this package; `model()` calls it.
        maps: tuple of `Maps`, bottom layer first; empty if an error is expected.
        grid: `(height, width)` of the heatmap; for videos, of one frame.
        frames: number of frames of a video's heatmap; 0 for images.
        prefix: number of tokens before the patches.
        suffix: number of tokens after the patches.
        readout: which tokens the head reads, one of `READOUTS`.
        left_out: for each softmax that must be listed as left out, a part of its layer's path.
        is_partial: whether a warning says that rollout skips what was left out.
        options: options of `AttentionModel`.
        image_shape: shape of one image, if the model doesn't declare it.
        text_length: number of tokens of a text, if the model doesn't declare it.
        example: whether an example is passed as `inputs`, for models that take texts of only one
            length.
        stacks: the stacks that the model runs on.
        error: a regular expression that the expected error's message matches.
        note: a phrase with what a user should know.
        mixes_batch: whether a row of the output depends on the other rows' images or texts.
        slow: whether it takes more than about ten seconds.
    """

    name: str
    origin: str
    build: str
    maps: tuple = ()
    grid: tuple = ()
    frames: int = 0
    prefix: int = 0
    suffix: int = 0
    readout: str = "class token"
    left_out: tuple = ()
    is_partial: bool = False
    options: dict = dataclasses.field(default_factory=dict)
    image_shape: tuple = ()
    text_length: int = 6
    example: bool = False
    stacks: tuple = EVERY_STACK
    error: str = ""
    note: str = ""
    mixes_batch: bool = False
    slow: bool = False

    def __post_init__(self):
        if self.readout not in READOUTS:
            raise ValueError(f"`readout` must be one of {READOUTS}. Received: {self.readout}.")
        # With an unknown stack, the tests would silently leave the family out.
        if not self.stacks or set(self.stacks) - set(EVERY_STACK):
            raise ValueError(f"`stacks` must be among {EVERY_STACK}. Received: {self.stacks}.")

    @property
    def runs_here(self):
        """Whether the family runs on the installed stack."""
        # keras-hub 0.32 needs Python 3.11.
        is_to_be_had = self.origin != "keras-hub" or sys.version_info >= (3, 11)
        return is_to_be_had and this_stack() in self.stacks

    @property
    def identifier(self):
        """The name in the form of a test's name."""
        return self.build.replace("_models", "")

    @property
    def heatmap(self):
        """The shape of a heatmap."""
        return (self.frames, *self.grid) if self.frames else self.grid

    @property
    def patches(self):
        """The grid of all patches; a video's frames stand below one another."""
        return (max(self.frames, 1) * self.grid[0], self.grid[1])

    def model(self):
        """Returns the small model, with seeded random weights."""
        from zoo.weights import randomize

        module, function = self.build.split(".")
        model = getattr(importlib.import_module(f"zoo.{module}"), function)()
        return randomize(model, image_shape=self.image_shape)

    def readout_tokens(self):
        """Returns the tokens of `readout` as a tuple of indices."""
        patches = self.patches[0] * self.patches[1]
        tokens = self.prefix + patches + self.suffix
        return {
            "class token": (0 if self.prefix else tokens - 1,),
            "class and distillation token": (0, 1),
            "all patches": tuple(range(self.prefix, self.prefix + patches)),
            "all tokens": tuple(range(tokens)),
        }[self.readout]


@functools.cache
def this_stack():
    """Returns the name of the installed stack."""
    import tensorflow as tf
    from tensorflow import keras

    if not hasattr(keras, "ops"):
        return TF_KERAS_2 if tf.__version__.startswith("2.15") else TF_KERAS
    keras_version = tuple(int(part) for part in keras.__version__.split(".")[:2])
    return OLDEST_KERAS_3 if keras_version < (3, 10) else KERAS_3
