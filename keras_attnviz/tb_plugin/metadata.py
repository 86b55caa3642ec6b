"""Names and version of what is logged for the Attention tab; docs/log-format.md has the format."""

PLUGIN_NAME = "attention"
TAB_NAME = "Attention"

# The first number changes when older readers can't make sense of a log any more.
FORMAT_VERSION = 2

# What all tags begin with.
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
    """Returns the tag of the blobs that those of a tag refer to where they have not changed."""
    return _KEPT_TAG + tag.removeprefix(TAGS)
