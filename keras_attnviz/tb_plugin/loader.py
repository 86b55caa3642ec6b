"""What TensorBoard loads first: it sets the limit of the log's steps, then brings the plugin in.

An error while this module is imported would keep TensorBoard from starting; one that `load` raises
is logged, and TensorBoard starts without the tab. So the plugin itself is imported in `load`.
"""

from tensorboard.plugins import base_plugin

from keras_attnviz.tb_plugin.metadata import PLUGIN_NAME

_ALL = 0


class AttentionLoader(base_plugin.TBLoader):
    """Loads the Attention tab, with every epoch."""

    def fix_flags(self, flags):
        """Keeps all steps of the tab's data, unless the user has set a limit.

        By default, TensorBoard keeps ten or a hundred steps of a series, chosen at random.
        """
        samples = getattr(flags, "samples_per_plugin", None)
        if samples is None:
            flags.samples_per_plugin = {PLUGIN_NAME: _ALL}
        elif isinstance(samples, dict):
            samples.setdefault(PLUGIN_NAME, _ALL)

    def load(self, context):
        """Returns the plugin."""
        from keras_attnviz.tb_plugin.plugin import AttentionPlugin

        return AttentionPlugin(context)
