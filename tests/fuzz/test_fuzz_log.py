"""Event files of any content: they are read, or refused with a `ValueError`."""

import contextlib
import dataclasses
import itertools
import json
import shutil

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from support.attention_logs import EventFile, MadeUpTraining
from support.fuzzing import changed_json, counted, fuzzed, hostile_json, mutated
from support.memory import at_most
from tensorboard.compat.proto import tensor_pb2, types_pb2

from keras_attnviz import read_log
from keras_attnviz.tb_plugin import metadata
from keras_attnviz.tb_plugin.packing import PackingError, pack, unpack

pytestmark = pytest.mark.one_stack

TRAINING = MadeUpTraining(
    names=("a", "b"), layers=3, grid=(2, 2), methods=("rollout",), full_probes=(1,), frozen=2
)
ALL_FROZEN = dataclasses.replace(TRAINING, frozen=3)
STEPS = (-1, 0, 1, 2)
TAGS = (
    *map(metadata.kept_tag, (metadata.HEADS_TAG, metadata.tokens_tag("rollout"))),
    metadata.kept_tag(metadata.FULL_TAG),
    metadata.EPOCH_TAG,
    metadata.heat_tag("rollout"),
    metadata.HEADS_TAG,
    metadata.tokens_tag("rollout"),
    metadata.FULL_TAG,
    metadata.SETUP_TAG,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzzed") / "attention"


def whole_file(folder):
    shutil.rmtree(folder, ignore_errors=True)
    with EventFile(folder) as file:
        TRAINING.write(file, STEPS)
    return file.path


def whole_records():
    """Returns the events of a whole log as bytes."""
    import pathlib
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        path = whole_file(pathlib.Path(scratch) / "attention")
        return path.read_bytes(), [record.numpy() for record in tf.data.TFRecordDataset(str(path))]


FILE, RECORDS = whole_records()


def read_all(folder):
    """Reads a log by every way there is; only a `ValueError` may come of it."""
    with contextlib.suppress(ValueError):
        log = read_log(folder)
        probes, layers = log.setup["probes"], log.setup["layers"]
        calls = [log.predictions, *((lambda m=m: log.heatmaps(m)) for m in log.setup["methods"])]
        calls += [lambda s=s: log.series(s["name"]) for s in log.setup["series"]]
        for step, probe in itertools.product([*log.steps.tolist(), 7], range(len(probes))):
            calls += [lambda at=(step, probe): log.heads(*at)]
            calls += [lambda at=step: log.unchanged_since(at)]
            for method in [*log.setup["methods"], "rollout"]:
                calls += [lambda at=(step, probe, method): log.token_maps(*at)]
            for layer in range(len(layers)):
                calls += [lambda at=(step, probe, layer): log.full_attention(*at)]
        for call in calls:
            with contextlib.suppress(ValueError):
                call()


def read_bytes(folder, data):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "events.out.tfevents.1.fuzz").write_bytes(data)
    read_all(folder)


def test_the_whole_file_is_read(folder):
    read_bytes(folder, FILE)
    log = read_log(folder)
    assert log.steps.tolist() == list(STEPS)
    assert log.problems == []


@fuzzed(60)
@given(data=st.binary(max_size=400))
@counted
def test_any_bytes_as_a_file(folder, data):
    read_bytes(folder, data)


@fuzzed(150)
@given(data=mutated(FILE))
@counted
def test_a_damaged_file(folder, data):
    read_bytes(folder, data)


@fuzzed(100)
@given(
    changes=st.lists(
        st.sampled_from(range(len(RECORDS))).flatmap(
            lambda index: st.tuples(st.just(index), mutated(RECORDS[index]))
        ),
        min_size=1,
        max_size=3,
    )
)
@counted
def test_damaged_events_in_records_that_are_whole(folder, changes):
    """As of a file that someone has made, with checksums that are right."""
    records = {**dict(enumerate(RECORDS)), **dict(changes)}
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with tf.io.TFRecordWriter(str(folder / "events.out.tfevents.1.fuzz")) as writer:
        for record in records.values():
            writer.write(record)
    read_all(folder)


@fuzzed(150)
@given(text=changed_json(TRAINING.setup()))
@counted
def test_a_setup_with_other_values(folder, text):
    shutil.rmtree(folder, ignore_errors=True)
    with EventFile(folder) as file:
        TRAINING.write(file, STEPS)
        file.blobs(0, metadata.SETUP_TAG, [text.encode("utf-8", "surrogatepass"), b"", b"x"])
    read_all(folder)


def packed(header, tail):
    """Returns a record with a header of its own."""
    text = json.dumps(header).encode()
    return b"KATN" + len(text).to_bytes(4, "little") + text + tail


REFERRING = {
    "layers": st.one_of(st.lists(st.integers(-1, 3), max_size=4), hostile_json()),
    "kept": st.one_of(st.integers(-1, 3), hostile_json()),
}
HEADERS = st.fixed_dictionaries(
    {
        "step": st.one_of(st.integers(-1, 1), hostile_json()),
        "arrays": st.dictionaries(
            st.sampled_from(["heat", "heat/highest", "heads", "tokens", "full", "classes"]),
            st.one_of(
                hostile_json(),
                st.fixed_dictionaries(
                    {
                        "dtype": st.sampled_from(
                            ["uint8", "int32", "float32", "object", "O", "V8"]
                        ),
                        "shape": st.lists(st.integers(-1, 2**66), max_size=3),
                        "offset": st.integers(-8, 2**66),
                    }
                ),
            ),
        ),
    },
    optional={**REFERRING, "since": hostile_json()},
)
REFERENCES = st.fixed_dictionaries(REFERRING)
DATA = st.one_of(
    st.binary(max_size=40),
    st.builds(packed, HEADERS, st.binary(max_size=40)),
    st.builds(packed, hostile_json(), st.binary(max_size=8)),
    mutated(TRAINING.epoch(0)),
    mutated(TRAINING.heat(0, "rollout")),
    mutated(TRAINING.head_maps(0, 0)),
    mutated(pack({})),
    st.builds(lambda fields: pack({}, **fields), REFERENCES),
    st.builds(
        lambda fields, probe: pack(unpack(TRAINING.head_maps(0, probe))[0], **fields),
        REFERENCES,
        st.integers(0, 1),
    ),
    st.builds(lambda since: TRAINING.epoch(0, since=since), hostile_json()),
)


@fuzzed(300)
@given(data=DATA)
@counted
def test_a_record_is_unpacked_or_is_none(data):
    with contextlib.suppress(PackingError):
        arrays, fields = unpack(data)
        assert sum(array.nbytes for array in arrays.values() if array.size) <= 6 * len(data)
        assert isinstance(fields, dict)


@fuzzed(150)
@given(
    records=st.lists(
        st.tuples(
            st.sampled_from([*STEPS, 2**31, -(2**63)]),
            st.sampled_from(TAGS),
            st.lists(DATA, max_size=3),
            st.lists(st.integers(-1, 2**40), max_size=3),
            st.sampled_from([types_pb2.DT_STRING, types_pb2.DT_FLOAT, types_pb2.DT_RESOURCE, 99]),
        ),
        min_size=1,
        max_size=4,
    ),
    training=st.sampled_from([TRAINING, ALL_FROZEN]),
)
@counted
def test_tensors_that_claim_anything(folder, records, training):
    shutil.rmtree(folder, ignore_errors=True)
    with EventFile(folder) as file:
        training.write(file, STEPS)
        for step, tag, texts, shape, dtype in records:
            tensor = tensor_pb2.TensorProto(dtype=dtype, string_val=texts)
            for size in shape:
                tensor.tensor_shape.dim.add(size=size)
            file.tensor(step, tag, tensor)
    read_all(folder)


@pytest.mark.parametrize("length", [2**60, 2**36, 2**64 - 1])
def test_a_record_longer_than_its_file_does_not_end_the_process(folder, length):
    """TensorFlow's reader ends the process, where there is not as much memory."""
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    header = length.to_bytes(8, "little")
    header += masked_crc32c(header).to_bytes(4, "little")
    read_bytes(folder, FILE + header + b"x")
    assert read_log(folder).steps.tolist() == list(STEPS)


def test_a_text_that_stands_for_many_takes_no_memory(folder):
    shutil.rmtree(folder, ignore_errors=True)
    with EventFile(folder) as file:
        TRAINING.write(file, STEPS)
        tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[b"x"])
        tensor.tensor_shape.dim.add(size=10**8)
        file.tensor(0, metadata.HEADS_TAG, tensor)
    with at_most(megabytes=200):
        read_all(folder)
