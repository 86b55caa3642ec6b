"""The plugin's loader, which TensorBoard calls first: it sets the limit of steps to keep.

If importing this module fails, TensorBoard doesn't start. If `load` raises, TensorBoard logs the
error and starts without the tab. So `load` imports the plugin itself.
"""

from tensorboard.plugins import base_plugin

from keras_attnviz.tb_plugin.metadata import PLUGIN_NAME

_ALL = 0


class AttentionLoader(base_plugin.TBLoader):
    """Loads the Attention tab with every epoch."""

    def fix_flags(self, flags):
        """Makes TensorBoard keep all steps of the tab's data, unless the user set a limit.

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
