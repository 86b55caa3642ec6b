"""Logged runs: reads the Attention tab's logs from TensorBoard's data provider; no HTTP here."""

import concurrent.futures

import grpc
import numpy as np
from tensorboard import errors
from tensorboard.data import provider

from keras_attnviz.tb_plugin import metadata
from keras_attnviz.tb_plugin.blob_keys import is_picture
from keras_attnviz.tb_plugin.packing import pack
from keras_attnviz.tb_plugin.validation import (
    NewerFormatError,
    UnreadableError,
    check_epoch,
    check_version,
    is_record,
    read_heat,
    read_setup,
)

_ALL_STEPS = 2**31 - 1
_PROBLEMS_TOLD = 5  # for each series
_MOST_BLOBS = 100_000  # at one step; a malformed tensor may claim any number
# TensorBoard's data server takes about 40 ms for a blob of any size, and hardly more for several
# blobs at once.
_READERS = 8
_QUOTED_NAMES = (
    "If the name of the run's folder holds a quotation mark or a backslash: TensorBoard's data "
    "server can't read it; rename the folder, or start TensorBoard with --load_fast=false."
)
# What TensorBoard raises when it converts a malformed tensor to an array.
_MALFORMED = (ValueError, TypeError, ArithmeticError, MemoryError)


class LoggedRuns:
    """The logs of all runs, as one request sees them.

    Methods raise `tensorboard.errors.NotFoundError` for missing data, and for a run whose log has
    a newer format or no readable setup.

    Args:
        source: a `DataProvider` of TensorBoard.
        context: the request's context, for the data provider.
        experiment: TensorBoard's id of the experiment, a text.
        setups: dict that caches each run's setup across requests.
    """

    def __init__(self, source, *, context, experiment, setups):
        self._source = source
        self._context = context
        self._setups = setups
        self._options = {"experiment_id": experiment, "plugin_name": metadata.PLUGIN_NAME}

    def runs(self):
        """Returns `[{"run": name, "last_step": step}, ...]`, sorted by name."""
        listed = {}
        # If a run has epochs, their last step replaces the setup's.
        for series in (self._list_blobs([metadata.SETUP_TAG]), self._list_epochs()):
            for run, tags in series.items():
                steps = [tag.max_step for tag in tags.values() if tag.max_step is not None]
                if steps:
                    listed[run] = max(steps)
        return [{"run": run, "last_step": listed[run]} for run in sorted(listed)]

    def setup(self, run):
        """Returns the last readable setup, a dict, with `pictures` and `problems` added."""
        setup, values, problems = self._setup(run)
        count = len(setup["probes"])
        keys = [value.blob_key for value in values[1 : 1 + count]]
        if len(keys) < count:
            problems.append(f"Of {count} probes, {len(keys)} have a picture.")
        problems += self._epochs(run, setup)[1]
        for method in setup["methods"]:
            problems += self._heat(run, method, setup)[1]
        return {**setup, "pictures": keys + [None] * (count - len(keys)), "problems": problems}

    def epochs(self, run):
        """Returns the packed records of all readable epochs, a list in the order of steps."""
        return [data for _, data in self._epochs(run, self._setup(run)[0])[0]]

    def heat(self, run, *, method, probe):
        """Returns the packed heatmaps of one probe: `steps`, `heat` and `heat/highest`."""
        setup = self._setup(run)[0]
        _check_probe(setup, probe)
        if method not in setup["methods"]:
            raise errors.NotFoundError(f"The run {run!r} has no method {method!r}.")
        found = self._heat(run, method, setup)[0]
        cells = setup["grid"][0] * setup["grid"][1]
        heat = np.array([heat[probe] for _, (heat, _) in found], np.uint8)
        arrays = {
            "steps": np.array([step for step, _ in found], np.int32),
            "heat": heat.reshape(len(found), cells),
            "heat/highest": np.array([highest[probe] for _, (_, highest) in found], np.float32),
        }
        return pack(arrays)

    def keys(self, run, kind, *, probe, method=None, layer=None):
        """Returns `{"steps": [...], "keys": [...], "kept": {...}}` of one probe's blobs.

        `kept` has the `steps` and `keys` of the kept blobs, to which the other blobs refer.

        Args:
            run: text.
            kind: "heads", "tokens" or "full".
            probe: integer, the probe's index.
            method: text, for "tokens" only.
            layer: integer, for "full" only.
        """
        setup = self._setup(run)[0]
        _check_probe(setup, probe)
        index = _full_index(setup, probe, layer) if kind == "full" else probe
        tags = {"heads": metadata.HEADS_TAG, "full": metadata.FULL_TAG}
        tag = metadata.tokens_tag(method) if kind == "tokens" else tags[kind]
        found = self._keys(run, tag, index)
        if found is None:
            raise errors.NotFoundError(f"The run {run!r} has nothing logged as {tag!r}.")
        # Read last: a log may grow in between, and kept blobs precede those that refer to them.
        kept = self._keys(run, metadata.kept_tag(tag), index)
        return {**found, "kept": kept or {"steps": [], "keys": []}}

    def blobs(self, keys):
        """Returns the blobs of some keys, a list of bytes; an unreadable blob is empty.

        Raises:
            InvalidArgumentError: a text is not a key.
            NotFoundError: a blob no longer exists, or doesn't belong to this tab.
        """
        are_pictures = [is_picture(key) for key in keys]
        with concurrent.futures.ThreadPoolExecutor(min(len(keys), _READERS)) as readers:
            blobs = list(readers.map(self._blob, keys))
        known = zip(blobs, are_pictures, strict=True)
        return [blob if is_picture or is_record(blob) else b"" for blob, is_picture in known]

    def _keys(self, run, tag, index):
        """Returns `{"steps": [...], "keys": [...]}` of a series' blobs at an index, or None."""
        series = self._blobs(run, tag)
        if not series:
            return None
        there = [datum for datum in series if index < len(datum.values)]
        keys = [datum.values[index].blob_key for datum in there]
        return {"steps": [datum.step for datum in there], "keys": keys}

    def _setup(self, run):
        """Returns `(setup, blobs, problems)` of the last readable setup."""
        listed = self._listed_blobs(run, metadata.SETUP_TAG)
        if listed is None:
            raise errors.NotFoundError(f"There is no run {run!r} with a setup of attention.")
        name = (self._options["experiment_id"], run)
        written = (listed.max_step, listed.max_wall_time, listed.max_length)
        if self._setups.get(name, (None,))[0] != written:
            self._setups[name] = (written, self._read_last_setup(run, listed.plugin_content))
        setup, values, problems = self._setups[name][1]
        return setup, values, list(problems)

    def _read_last_setup(self, run, content):
        problems = []
        try:
            check_version(_version(content))
            for datum in reversed(self._blobs(run, metadata.SETUP_TAG)):
                try:
                    return self._read_setup(datum), datum.values, problems
                except NewerFormatError:
                    raise
                except UnreadableError as error:
                    problems.append(f"The setup at step {datum.step} can't be read: {error}.")
        except UnreadableError as error:
            problems.append(f"Its setup can't be read: {error}.")
        told = " ".join([f"The run {run!r} has no setup that can be read.", *problems])
        raise errors.NotFoundError(told[:2000])

    def _read_setup(self, datum):
        if not datum.values:
            raise UnreadableError("it is empty")
        return read_setup(self._blob(datum.values[0].blob_key))

    def _epochs(self, run, setup):
        def check(data, step):
            check_epoch(data, step=step, setup=setup)
            return data

        return self._records(run, metadata.EPOCH_TAG, check)

    def _heat(self, run, method, setup):
        def read(data, step):
            return read_heat(data, step=step, setup=setup)

        return self._records(run, metadata.heat_tag(method), read)

    def _records(self, run, tag, read):
        """Returns `(found, problems)` of a series: `found` is `[(step, read(data, step)), ...]`."""
        chosen = provider.RunTagFilter(runs=[run], tags=[tag])
        try:
            series = self._source.read_tensors(
                self._context, downsample=_ALL_STEPS, run_tag_filter=chosen, **self._options
            )
        except (*_MALFORMED, grpc.RpcError) as error:  # RpcError: more than 256 MB
            return [], [f"{tag} can't be read: {_one_line(error)}"]
        # If a step has several records, the one written last counts.
        last = {datum.step: datum for datum in series.get(run, {}).get(tag, [])}
        found, problems = [], []
        for step in sorted(last):
            try:
                found.append((step, read(_string(last[step].numpy), step)))
            except UnreadableError as error:
                problems.append(f"{tag} at step {step} is left out: {error}.")
        more = len(problems) - _PROBLEMS_TOLD
        told = [f"{tag} is left out at {more} more steps."] if more > 0 else []
        return found, problems[:_PROBLEMS_TOLD] + told

    def _list_epochs(self):
        chosen = provider.RunTagFilter(tags=[metadata.EPOCH_TAG])
        return self._source.list_tensors(self._context, run_tag_filter=chosen, **self._options)

    def _list_blobs(self, tags, run=None):
        chosen = provider.RunTagFilter(runs=None if run is None else [run], tags=tags)
        return self._source.list_blob_sequences(
            self._context, run_tag_filter=chosen, **self._options
        )

    def _listed_blobs(self, run, tag):
        """Returns the `BlobSequenceTimeSeries`, or None."""
        return self._list_blobs([tag], run).get(run, {}).get(tag)

    def _blobs(self, run, tag):
        """Returns a list of `BlobSequenceDatum`, in the order of steps."""
        listed = self._listed_blobs(run, tag)
        if listed is None or not 0 < (listed.max_length or 0) <= _MOST_BLOBS:
            return []
        chosen = provider.RunTagFilter(runs=[run], tags=[tag])
        series = self._source.read_blob_sequences(
            self._context, downsample=_ALL_STEPS, run_tag_filter=chosen, **self._options
        )
        return sorted(series.get(run, {}).get(tag, []), key=lambda datum: datum.step)

    def _blob(self, key):
        try:
            data = self._source.read_blob(self._context, blob_key=key)
        except (KeyError, IndexError) as error:
            raise errors.NotFoundError(f"The blob {key[:500]!r} isn't there.") from error
        except errors.InvalidArgumentError as error:
            raise errors.NotFoundError(f"{error} {_QUOTED_NAMES}") from error
        except _MALFORMED:
            return b""
        return data if isinstance(data, bytes) else b""


def _version(content):
    """Returns the format's version from the content of a summary's metadata."""
    if not content.isdigit() or len(content) > 9:
        raise UnreadableError(f"its format has the version {bytes(content[:50])!r}")
    return int(content)


def _string(tensor):
    """Returns the bytes in a tensor of one string, or None for any other tensor."""
    value = tensor.reshape(-1)[0] if tensor.size == 1 else None
    return value if isinstance(value, bytes) else None


def _check_probe(setup, probe):
    if probe >= len(setup["probes"]):
        raise errors.NotFoundError(f"There is no probe {probe}, only {len(setup['probes'])}.")


def _full_index(setup, probe, layer):
    chosen = [] if setup["full"] is None else setup["full"]["probes"]
    if probe not in chosen:
        raise errors.NotFoundError(f"Whole maps of probe {probe} were not logged.")
    if layer >= len(setup["layers"]):
        raise errors.NotFoundError(f"There is no layer {layer}, only {len(setup['layers'])}.")
    return chosen.index(probe) * len(setup["layers"]) + layer


def _one_line(error):
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= 300 else text[:297] + "..."
