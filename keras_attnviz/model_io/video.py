"""Videos as tall images with frames below one another, and back."""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_attnviz._checks import message


@dataclasses.dataclass(frozen=True)
class VideoShape:
    """The shape of a model's videos, and how they become tall images.

    In a tall image, the attention of all frames lies on one grid, so the same code finds it in
    models of images and of videos. Frames that share their tokens (a tubelet) become the channels
    of one frame.

    Args:
        shape: `(frames, height, width, channels)`, None for sides that aren't known.
        tubelet: number of frames that share their tokens.

    Raises:
        ValueError: the number of frames is no multiple of `tubelet`.
    """

    shape: tuple
    tubelet: int = 1

    def __post_init__(self):
        if self.shape[0] is not None and self.shape[0] % self.tubelet:
            must = f"a model of videos whose number of frames is a multiple of {self.tubelet}"
            remedy = (
                f"Its first convolution takes {self.tubelet} frames at a time, and would leave "
                "some over. Give videos of another length."
            )
            raise ValueError(message("model", must, self.shape, remedy))

    @property
    def frames(self):
        """The number of frames of the tall image, each made of `tubelet` frames, or None."""
        return None if self.shape[0] is None else self.shape[0] // self.tubelet

    @property
    def tall_shape(self):
        """`(height, width, channels)` of the tall image, None for sides that aren't known."""
        _, height, width, channels = self.shape
        return _product(self.frames, height), width, _product(self.tubelet, channels)

    def tall(self, videos):
        """Returns videos as tall images.

        Args:
            videos: tensor or array `[batch, frames, height, width, channels]`; all sides but the
                batch are those of `shape`.

        Returns:
            tensor or array `[batch, frames // tubelet * height, width, tubelet * channels]` of the
            same dtype.
        """
        _, height, width, channels = self.shape
        library = tf if tf.is_tensor(videos) else np
        groups = [-1, self.frames, self.tubelet, height, width, channels]
        split = library.transpose(library.reshape(videos, groups), [0, 1, 3, 4, 2, 5])
        return library.reshape(split, [-1, *self.tall_shape])

    def video(self, images):
        """Returns tall images as videos again, the inverse of `tall`."""
        _, height, width, channels = self.shape
        library = tf if tf.is_tensor(images) else np
        groups = [-1, self.frames, height, width, self.tubelet, channels]
        split = library.transpose(library.reshape(images, groups), [0, 1, 4, 2, 3, 5])
        return library.reshape(split, [-1, *self.shape])


def _product(first, second):
    return None if first is None or second is None else first * second
