"""Blob keys: the texts by which TensorBoard's data provider identifies single blobs."""

import base64
import json

from tensorboard import errors

from keras_attnviz.tb_plugin import metadata


def is_picture(key):
    """Returns whether a blob key belongs to a picture rather than to a record.

    Both loaders of TensorBoard make a key of experiment, plugin (the slow loader only), run, tag,
    step and index. Neither checks the plugin when it reads a blob.

    Raises:
        InvalidArgumentError: the text is not a key.
        NotFoundError: the key doesn't belong to this tab.
    """
    try:
        data = base64.b64decode(key + "=" * (-len(key) % 4), altchars="-_", validate=True)
        *_, run, tag, step, index = json.loads(data)
    except (ValueError, TypeError, RecursionError) as error:
        raise errors.InvalidArgumentError(
            f"`key` must be one of `setup` or `keys`. Received: {key[:500]!r}."
        ) from error
    texts = isinstance(run, str) and isinstance(tag, str)
    numbers = type(step) is int and type(index) is int
    if not texts or not numbers or not _is_ours(tag) or index < 0:
        raise errors.NotFoundError(f"The key {key[:500]!r} does not belong to this tab.")
    return tag == metadata.SETUP_TAG and index > 0


def _is_ours(tag):
    """Returns whether the tab logs blobs under a tag."""
    logged = (metadata.HEADS_TAG, metadata.FULL_TAG)
    tokens = metadata.tokens_tag("")
    names = (metadata.SETUP_TAG, *logged, *map(metadata.kept_tag, logged))
    return tag in names or tag.startswith((tokens, metadata.kept_tag(tokens)))
