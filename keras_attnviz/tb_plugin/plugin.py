"""The server side of the Attention tab; http_api.md describes the routes."""

import pathlib
import re

from tensorboard import plugin_util
from tensorboard.backend import http_util
from tensorboard.plugins import base_plugin

from keras_attnviz.tb_plugin.logged_runs import LoggedRuns
from keras_attnviz.tb_plugin.metadata import PLUGIN_NAME, TAB_NAME
from keras_attnviz.tb_plugin.wsgi import (
    BINARY,
    choice_parameter,
    framed,
    index_parameter,
    list_parameter,
    reading,
    static_routes,
    text_parameter,
)

_STATIC = pathlib.Path(__file__).parent / "static"
_PAGE = "/index.js"
_STYLES = "style.css"
_IMPORT = re.compile(rb'^@import "([\w./]+)";$', re.MULTILINE)
_KEYS_AT_ONCE = 64
_KINDS = ("heads", "tokens", "full")


class AttentionPlugin(base_plugin.TBPlugin):
    """Serves the tab's page and its data.

    Args:
        context: TensorBoard's `TBContext`.
    """

    plugin_name = PLUGIN_NAME

    def __init__(self, context):
        self._source = context.data_provider
        self._setups = {}

    def get_plugin_apps(self):
        """Returns a dict from route to WSGI application."""
        answers = {
            "/runs": self._runs,
            "/setup": self._setup,
            "/epochs": self._epochs,
            "/heat": self._heat,
            "/keys": self._keys,
            "/blobs": self._blobs,
        }
        data = {route: reading(answer) for route, answer in answers.items()}
        return {**static_routes(_STATIC), f"/{_STYLES}": reading(_styles), **data}

    def is_active(self):
        """Returns False: TensorBoard itself activates the tab if there is data for it."""
        return False

    def frontend_metadata(self):
        """Returns the tab's name and page."""
        return base_plugin.FrontendMetadata(es_module_path=_PAGE, tab_name=TAB_NAME)

    def _logs(self, request):
        return LoggedRuns(
            self._source,
            context=plugin_util.context(request.environ),
            experiment=plugin_util.experiment_id(request.environ),
            setups=self._setups,
        )

    def _runs(self, request):
        return _json(request, {"runs": self._logs(request).runs()})

    def _setup(self, request):
        run = text_parameter(request, "run")
        return _json(request, self._logs(request).setup(run))

    def _epochs(self, request):
        run = text_parameter(request, "run")
        return http_util.Respond(request, framed(self._logs(request).epochs(run)), BINARY)

    def _heat(self, request):
        run = text_parameter(request, "run")
        method = text_parameter(request, "method")
        probe = index_parameter(request, "probe")
        data = self._logs(request).heat(run, method=method, probe=probe)
        return http_util.Respond(request, data, BINARY)

    def _keys(self, request):
        run = text_parameter(request, "run")
        kind = choice_parameter(request, "kind", _KINDS)
        probe = index_parameter(request, "probe")
        method = text_parameter(request, "method") if kind == "tokens" else None
        layer = index_parameter(request, "layer") if kind == "full" else None
        keys = self._logs(request).keys(run, kind, probe=probe, method=method, layer=layer)
        return _json(request, keys)

    def _blobs(self, request):
        keys = list_parameter(request, "key", limit=_KEYS_AT_ONCE)
        return http_util.Respond(request, framed(self._logs(request).blobs(keys)), BINARY)


def _styles(request):
    """Answers with style.css and, in place of its imports, the sheets: one request for all."""
    listed = (_STATIC / _STYLES).read_bytes()
    content = _IMPORT.sub(lambda match: (_STATIC / match[1].decode()).read_bytes(), listed)
    return http_util.Respond(request, content, "text/css")


def _json(request, content):
    return http_util.Respond(request, content, "application/json")
