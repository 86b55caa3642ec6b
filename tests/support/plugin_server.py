"""The Attention tab's server on a log directory, with either loader of TensorBoard."""

import contextlib
import pathlib
import struct
import subprocess

from tensorboard.backend import application
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.data.server_ingester import ExistingServerDataIngester, get_server_binary
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.util.grpc_util import ChannelCredsType
from werkzeug.test import Client

from keras_attnviz.tb_plugin.loader import AttentionLoader
from keras_attnviz.tb_plugin.metadata import PLUGIN_NAME

ROUTE = "/data/plugin/attention/"


@contextlib.contextmanager
def slow_loader(log_dir):
    """Yields the data provider of `--load_fast=false`, after it has read a log directory."""
    multiplexer = EventMultiplexer(tensor_size_guidance={PLUGIN_NAME: 0})
    multiplexer.AddRunsFromDirectory(str(log_dir))
    multiplexer.Reload()
    yield MultiplexerDataProvider(multiplexer, str(log_dir))


@contextlib.contextmanager
def fast_loader(log_dir):
    """Yields the data provider of `--load_fast=true`, after its server has read a log directory."""
    port_file = pathlib.Path(log_dir).with_suffix(".port")
    command = [
        get_server_binary().path,
        f"--logdir={log_dir}",
        "--reload=once",
        f"--samples-per-plugin={PLUGIN_NAME}=all",
        "--port=0",
        f"--port-file={port_file}",
        "--verbose",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            lines = iter(server.stderr.readline, "")
            assert any("Finished load cycle" in line for line in lines)
            address = f"localhost:{port_file.read_text().strip()}"
            credentials = ChannelCredsType.LOCAL
            yield ExistingServerDataIngester(address, channel_creds_type=credentials).data_provider
        finally:
            server.terminate()


LOADERS = {"slow": slow_loader, "fast": fast_loader}


class Tab:
    """The tab's routes, called through TensorBoard's application without a network."""

    def __init__(self, source):
        plugin = AttentionLoader().load(TBContext(data_provider=source))
        self.client = Client(application.TensorBoardWSGI([plugin], data_provider=source))

    def get(self, route, **query):
        """Returns the response, whatever its code; a list repeats a parameter."""
        return self.client.get(ROUTE + route, query_string=query)

    def json(self, route, **query):
        """Returns a route's JSON answer."""
        response = self.get(route, **query)
        assert response.status_code == 200, response.text
        assert response.content_type == "application/json"
        return response.json

    def bytes(self, route, **query):
        """Returns a route's answer as bytes."""
        response = self.get(route, **query)
        assert response.status_code == 200, response.text
        assert response.content_type == "application/octet-stream"
        return response.data

    def parts(self, route, **query):
        """Returns the parts of a route's framed answer, a list of bytes."""
        return unframed(self.bytes(route, **query))


def unframed(data):
    """Returns the parts of a framed answer."""
    parts, offset = [], 0
    while offset < len(data):
        (length,) = struct.unpack_from("<I", data, offset)
        parts.append(data[offset + 4 : offset + 4 + length])
        assert len(parts[-1]) == length
        offset += 4 + length
    return parts
