"""Names and version of the Attention tab's log format; see docs/log-format.md."""

PLUGIN_NAME = "attention"
TAB_NAME = "Attention"

# It goes up when older readers can no longer read a log.
FORMAT_VERSION = 2

# All tags begin with this.
TAGS = "attention_tab/"
SETUP_TAG = "attention_tab/setup"
EPOCH_TAG = "attention_tab/epoch"
HEADS_TAG = "attention_tab/heads"
FULL_TAG = "attention_tab/full"
_HEAT_TAG = "attention_tab/heat/"
_TOKENS_TAG = "attention_tab/tokens/"
_KEPT_TAG = "attention_tab/kept/"


def heat_tag(method):
    """Returns the tag of the heatmaps of a method, `"rollout"` for example."""
    return _HEAT_TAG + method


def tokens_tag(method):
    """Returns the tag of a method's maps from every patch to every patch."""
    return _TOKENS_TAG + method


def kept_tag(tag):
    """Returns the tag of the kept blobs, to which a tag's blobs refer for what hasn't changed."""
    return _KEPT_TAG + tag.removeprefix(TAGS)
