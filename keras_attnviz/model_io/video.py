"""Videos as tall images, their frames below one another, and back."""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_attnviz._checks import message


@dataclasses.dataclass(frozen=True)
class VideoShape:
    """The shape of a model's videos, and how they become tall images.

    What is found in models of images is so found in models of videos: the attention of all frames
    lies on one grid. Frames that share their tokens (a tubelet) are the channels of one frame.

    Args:
        shape: `(frames, height, width, channels)`, sides that are not known None.
        tubelet: number of frames that share their tokens.

    Raises:
        ValueError: a number of frames that is no multiple of `tubelet`.
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
        """The number of frames of the tall image, each of `tubelet` frames; None if not known."""
        return None if self.shape[0] is None else self.shape[0] // self.tubelet

    @property
    def tall_shape(self):
        """`(height, width, channels)` of the tall image, sides that are not known None."""
        _, height, width, channels = self.shape
        return _product(self.frames, height), width, _product(self.tubelet, channels)

    def tall(self, videos):
        """Returns videos as tall images.

        Args:
            videos: tensor or array `[batch, frames, height, width, channels]`, all but the batch
                as the shape says.

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
        """Returns tall images as the videos that they were made of, the inverse of `tall`."""
        _, height, width, channels = self.shape
        library = tf if tf.is_tensor(images) else np
        groups = [-1, self.frames, height, width, self.tubelet, channels]
        split = library.transpose(library.reshape(images, groups), [0, 1, 4, 2, 3, 5])
        return library.reshape(split, [-1, *self.shape])


def _product(first, second):
    return None if first is None or second is None else first * second
