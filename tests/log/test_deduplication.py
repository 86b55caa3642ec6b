"""What has not changed is logged once: whatever is given is read back the same."""

import collections
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.attention_logs import EventFile, MadeUpTraining
from support.fuzzing import fuzzed
from support.plugin_server import LOADERS, Tab
from support.small_models import small_classifier
from tensorflow import keras

from keras_attnviz import AttentionRolloutCallback, ProbeSet, read_log
from keras_attnviz.log.deduplication import Deduplicator, write_blobs, write_layers
from keras_attnviz.tb_plugin import metadata
from keras_attnviz.tb_plugin.packing import dequantize, pack, unpack

pytestmark = pytest.mark.one_stack

KEPT = metadata.kept_tag(metadata.HEADS_TAG)
A, B, C = ([np.array([value], np.float32)] for value in (1, 2, np.nan))


def test_compared_by_hand():
    unchanged = Deduplicator()
    expected = [
        # parts, since, is kept now, refers to, changed
        ([A, A], [0, 0], False, None, [0, 1]),
        ([A, B], [0, 1], True, 1, []),
        ([A, C], [0, 2], False, 1, [1]),
        ([A, C], [0, 2], True, 3, []),
        ([B, C], [4, 2], False, 3, [0]),
        ([A, C], [5, 2], False, 3, []),
        ([C, A], [6, 6], False, None, [0, 1]),
        ([C, A], [6, 6], True, 7, []),
    ]
    for step, (parts, since, is_kept, kept, changed) in enumerate(expected):
        found = unchanged.compare(step, parts)
        assert (found.since, found.is_kept, found.kept, found.changed) == (
            since,
            is_kept,
            kept,
            changed,
        )


# Of a log: a step of a layer's state for each record, or that another file begins, so many steps
# before the one that would be next.
STATES = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 2)),
        st.integers(0, 3),
    ),
    max_size=14,
)
TRAINING = MadeUpTraining(names=("a", "b"), layers=3, grid=(2, 2), full_probes=(1,))


def arrays_of(states):
    """Returns the heads of a record: each layer's of the step that its state is."""
    blobs = [[unpack(TRAINING.head_maps(s, p))[0] for s in states] for p in range(2)]
    rows = [slice(i * 2, i * 2 + 2) for i in range(3)]
    taken = {
        name: np.stack(
            [
                np.concatenate([of[name][row] for of, row in zip(layers, rows, strict=True)])
                for layers in blobs
            ]
        )
        for name in blobs[0][0]
    }
    return taken, rows


class Writing:
    """Writes states into a log, the first file of it or a later one."""

    def __init__(self, folder, first):
        self.file = EventFile(folder)
        self.file.start(first)
        self.file.blobs(first, metadata.SETUP_TAG, [json.dumps(TRAINING.setup()).encode()])
        self.unchanged = collections.defaultdict(Deduplicator)

    def write(self, step, states):
        arrays, rows = arrays_of(states)
        parts = [[array[:, row] for array in arrays.values()] for row in rows]
        compared = self.unchanged["heads"].compare(step, parts)
        self.file.record(step, metadata.EPOCH_TAG, TRAINING.epoch(step, since=compared.since))
        write_layers(self.file, step, metadata.HEADS_TAG, arrays, compared, rows=rows)
        for tag, blobs in (
            (
                metadata.tokens_tag("rollout"),
                [TRAINING.token_maps(states[p], p, "rollout") for p in range(2)],
            ),
            (
                metadata.FULL_TAG,
                [TRAINING.full_maps(s, 1, layer) for layer, s in enumerate(states)],
            ),
        ):
            arrays = [unpack(blob)[0] for blob in blobs]
            write_blobs(self.file, step, tag, arrays, self.unchanged[tag])


def values_of(data, name):
    arrays, _ = unpack(data)
    return dequantize(arrays[name], arrays[f"{name}/highest"])


@fuzzed(60)
@given(sequence=STATES)
def test_whatever_was_written_is_read(tmp_path_factory, sequence):
    folder = tmp_path_factory.mktemp("log")
    written, since, step = {}, {}, -1
    writing, last = Writing(folder / "attention", -1), None
    for each in [(0, 0, 0), *sequence]:
        if isinstance(each, int):
            writing.file.__exit__()
            step = max(-1, step - each)
            written = {at: states for at, states in written.items() if at < step}
            writing, last = Writing(folder / "attention", step), None
            continue
        writing.write(step, each)
        begun = since[step - 1] if last is not None else [None] * 3
        same = [last is not None and last[i] == state for i, state in enumerate(each)]
        since[step] = [begun[i] if same[i] else step for i in range(3)]
        written[step], last, step = each, each, step + 1
    writing.file.__exit__()
    log = read_log(folder) if written else None
    for at, states in written.items():
        arrays, rows = arrays_of(states)
        values = dequantize(arrays["heads"], arrays["heads/highest"])
        for probe in range(2):
            for found, row in zip(log.heads(at, probe), rows, strict=True):
                np.testing.assert_array_equal(found.reshape(2, 4), values[probe, row])
            tokens = TRAINING.token_maps(states[probe], probe, "rollout")
            found = log.token_maps(at, probe).reshape(4, 4)
            np.testing.assert_array_equal(found, values_of(tokens, "tokens"))
        for layer, state in enumerate(states):
            full = values_of(TRAINING.full_maps(state, 1, layer), "full")
            found = log.full_attention(at, 1, layer).reshape(2, 4, 4)
            np.testing.assert_array_equal(found, full)
        assert log.unchanged_since(at) == since[at]
    if written:
        assert log.steps.tolist() == sorted(written)
        assert log.problems == []


def test_nothing_is_kept_of_what_always_changes(tmp_path):
    writing = Writing(tmp_path / "attention", 0)
    for step in range(6):
        writing.write(step, (step, step, step))
    writing.file.__exit__()
    log = read_log(tmp_path)
    for tags in log.records.values():
        assert not [tag for tag in tags if tag.startswith("attention_tab/kept/")]
        for blob in tags[metadata.HEADS_TAG]:
            assert "layers" not in unpack(blob)[1]


def test_what_is_frozen_is_kept_once(tmp_path):
    with EventFile(tmp_path / "attention") as file:
        MadeUpTraining(layers=4, frozen=3).write(file, range(-1, 20))
    log = read_log(tmp_path)
    assert [step for step, tags in log.records.items() if KEPT in tags] == [0]
    for step in range(1, 20):
        arrays, fields = unpack(log.records[step][metadata.HEADS_TAG][1])
        assert (fields["layers"], fields["kept"]) == ([3], 0)
        assert arrays["heads"].shape == (2, 12)
    assert log.unchanged_since(19) == [-1, -1, -1, 19]


# A real fit.


def fit(
    faces, folder, *, trainable=0, epochs=4, first=0, model=None, callback=None, more=(), **options
):
    """Returns model and callback of a fit that trains a Transformer's last blocks, or none."""
    images, labels = faces
    probes = ProbeSet(images[[0, 100]], labels=labels[[0, 100]], names=["a", "b"])
    if model is None:
        model = small_classifier(layers=3)
        blocks = [layer for layer in model.layers[0].layers if "block" in layer.name]
        assert len(blocks) == 3
        for layer in model.layers[0].layers:
            layer.trainable = False
        for layer in blocks[3 - trainable :]:
            layer.trainable = True
        model.compile("sgd", "sparse_categorical_crossentropy")
    callback = callback or AttentionRolloutCallback(probes, folder, **options)
    callbacks = [*more, callback]
    model.fit(
        *faces, initial_epoch=first, epochs=epochs, verbose=0, shuffle=False, callbacks=callbacks
    )
    return model, callback


def tab_bytes(folder):
    """Returns how many bytes the blobs take, a list of each step's."""
    records = read_log(folder).records
    return [
        sum(
            len(blob)
            for tag, blobs in tags.items()
            if tag.removeprefix("attention_tab/").startswith(("heads", "tokens", "full", "kept"))
            for blob in blobs
        )
        for _, tags in sorted(records.items())
    ]


@pytest.fixture(scope="module")
def fits(faces, tmp_path_factory):
    """Folders of logs by the number of blocks that were trained."""
    folder = tmp_path_factory.mktemp("fits")
    options = {"full_probes": ["b"], "full_every_epochs": 1}
    for trainable in (0, 1, 3):
        fit(faces, folder / str(trainable), trainable=trainable, **options)
    return folder


def test_the_log_of_a_frozen_model_is_smaller(fits):
    frozen, partly, trained = (tab_bytes(fits / str(count)) for count in (0, 1, 3))
    assert frozen[0] == partly[0] == trained[0]
    assert max(trained) < 1.01 * min(trained)
    for step in (2, 3, 4):
        assert frozen[step] < 0.05 * trained[step]
        # Of three layers' heads and whole maps one's is left, and the maps by rollout.
        assert partly[step] < 0.5 * trained[step]


@pytest.mark.parametrize("trainable", [0, 1, 3])
def test_a_fit_is_read_back_in_whole(fits, trainable):
    log = read_log(fits / str(trainable))
    assert log.problems == []
    first = read_log(fits / "3")
    for step in log.steps:
        since = log.unchanged_since(step)
        assert since == [-1] * (3 - trainable) + [step] * trainable
        for probe in ("a", "b"):
            for layer, (found, begun) in enumerate(
                zip(log.heads(step, probe), first.heads(-1, probe), strict=True)
            ):
                assert (found == begun).all() == (since[layer] == -1)
        same = log.token_maps(step, "a") == first.token_maps(-1, "a")
        assert same.all() == (trainable == 0 or step == -1)
        for layer in range(3):
            same = log.full_attention(step, "b", layer) == first.full_attention(-1, "b", layer)
            assert same.all() == (since[layer] == -1)


@pytest.mark.parametrize("is_new", [True, False], ids=["a new callback", "the same callback"])
def test_a_training_that_goes_on_begins_anew(faces, tmp_path, is_new):
    model, callback = fit(faces, tmp_path, trainable=1, epochs=4)
    whole = read_log(tmp_path)
    again = None if is_new else callback
    fit(faces, tmp_path, model=model, first=2, epochs=5, callback=again)
    log = read_log(tmp_path)
    assert log.problems == []
    assert log.steps.tolist() == [-1, 0, 1, 2, 3, 4]
    assert [step for step, tags in sorted(log.records.items()) if KEPT in tags] == [0, 3]
    assert [log.unchanged_since(step)[0] for step in log.steps] == [-1, -1, -1, 2, 2, 2]
    for step in log.steps:
        np.testing.assert_array_equal(log.heads(step, 0)[1], whole.heads(-1, 0)[1])


def test_a_file_after_one_that_is_gone_stands_by_itself(faces, tmp_path):
    def remove(epoch, _):
        if epoch == 2:
            (path,) = (tmp_path / "attention").glob("*tfevents*")
            path.unlink()

    more = [keras.callbacks.LambdaCallback(on_epoch_begin=remove)]
    with pytest.warns(RuntimeWarning, match="step 2 could not be logged|missing steps: 2"):
        fit(faces, tmp_path, trainable=1, epochs=6, more=more)
    log = read_log(tmp_path)
    assert log.steps.tolist() == [3, 4, 5]
    for step in log.steps:
        assert log.unchanged_since(step) == [3, 3, step]
        np.testing.assert_array_equal(log.heads(step, 0)[1], log.heads(3, 0)[1])


@pytest.mark.parametrize("loader", LOADERS)
def test_both_loaders_lead_to_the_kept_blobs(tmp_path, loader):
    first = MadeUpTraining(layers=3, frozen=2, full_probes=(1,))
    later = MadeUpTraining(layers=3, frozen=2, full_probes=(1,), seed=4)
    for training, steps in ((first, range(-1, 8)), (later, range(4, 10))):
        with EventFile(tmp_path / "logs" / "attention") as file:
            training.write(file, steps)
    log = read_log(tmp_path / "logs")
    with LOADERS[loader](tmp_path / "logs") as source:
        tab = Tab(source)
        for kind, tag, index in (("heads", metadata.HEADS_TAG, 1), ("full", metadata.FULL_TAG, 2)):
            options = {"layer": 2} if kind == "full" else {}
            answer = tab.json("keys", run="attention", kind=kind, probe=1, **options)
            kept_tag = metadata.kept_tag(tag)
            for found, name in ((answer, tag), (answer["kept"], kept_tag)):
                logged = {s: tags[name] for s, tags in log.records.items() if name in tags}
                assert found["steps"] == sorted(logged)
                blobs = tab.parts("blobs", key=found["keys"])
                assert blobs == [logged[step][index] for step in found["steps"]]
        tokens = tab.json("keys", run="attention", kind="tokens", probe=1, method="rollout")
        assert tokens["kept"] == {"steps": [], "keys": []}
        fields = [unpack(data)[1] for data in tab.parts("epochs", run="attention")]
        assert [each["since"][0] for each in fields] == [-1] * 5 + [4] * 6
    assert answer["kept"]["steps"] == [2, 6]
    assert [step for step, tags in sorted(log.records.items()) if KEPT in tags] == [0, 5]
    for training, step in ((first, 3), (later, 4), (later, 9)):
        values = values_of(training.head_maps(step, 1), "heads").reshape(3, 2, 3, 4)
        np.testing.assert_array_equal(log.heads(step, 1), values)


def damaged(folder, change):
    """Returns a log whose records, a dict from step to tag to blobs, were changed."""
    with EventFile(folder / "attention") as file:
        MadeUpTraining(layers=3, frozen=2).write(file, range(-1, 4))
    log = read_log(folder)
    change(log.records)
    return log


def header(step, arrays=None, **fields):
    def change(records):
        own = unpack(records[step][metadata.HEADS_TAG][0])[0]
        data = pack(own if arrays is None else arrays, step=step, **fields)
        records[step][metadata.HEADS_TAG] = [data] * 3

    return change


def kept_is(data):
    return lambda records: records[0].update({KEPT: [data] * 3})


def refers_to_a_later_one(records):
    records[9] = {KEPT: records[0][KEPT]}
    header(3, layers=[2], kept=9)(records)


MISSING = r"at step 3 refers to one of attention_tab/kept/heads at step {}, which the log does not"
UNFIT = r"A record of 'heads' doesn't fit the log's setup"
NAMES = "header must name the step of a kept record and layers below 3"
OWN = {"heads": np.zeros((2, 12), np.uint8)}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda records: records[0].pop(KEPT), MISSING.format(0)),
        (lambda records: records[0][KEPT].clear(), MISSING.format(0)),
        (header(3, layers=[2], kept=1), MISSING.format(1)),
        (header(3, layers=[2], kept=9), MISSING.format(9)),
        (refers_to_a_later_one, MISSING.format(9)),
        (kept_is(pack({}, layers=[], kept=0)), MISSING.format(0)),
        (kept_is(pack({})), UNFIT),
        (kept_is(MadeUpTraining(layers=2).head_maps(0, 0)), UNFIT),
        (header(3, layers=[1, 2], kept=0), UNFIT),
        (header(3, OWN, layers=[2], kept=0), UNFIT),
        (header(3, layers=[2]), NAMES),
        (header(3, layers=[3], kept=0), NAMES),
        (header(3, layers=[-1], kept=0), NAMES),
        (header(3, layers=[True], kept=0), NAMES),
        (header(3, layers=[[2]], kept=0), NAMES),
        (header(3, layers="2", kept=0), NAMES),
        (header(3, layers=None, kept=0), NAMES),
        (header(3, layers=[2], kept="0"), NAMES),
        (header(3, layers=[2, 2], kept=0), "names a layer twice"),
    ],
)
def test_what_can_not_be_read_is_said(tmp_path, change, text):
    log = damaged(tmp_path, change)
    with pytest.raises(ValueError, match=text):
        log.heads(3, 0)
    assert log.heads(-1, 0)[0].shape == (2, 3, 4)


def test_maps_of_patches_are_the_same_or_whole(tmp_path):
    log = damaged(tmp_path, lambda records: None)
    tag = metadata.tokens_tag("rollout")
    log.records[3][tag] = [pack({}, layers=[0], kept=0)] * 3
    with pytest.raises(ValueError, match=r"tokens/rollout at step 3 refers to one of"):
        log.token_maps(3, 0)
    log.records[0][metadata.kept_tag(tag)] = [MadeUpTraining().token_maps(0, 0, "rollout")]
    with pytest.raises(ValueError, match=r"tokens/rollout at step 3 names layers: \[0\]"):
        log.token_maps(3, 0)


@pytest.mark.parametrize(
    ("since", "text"),
    [
        ([-1, 0], "`since` is of 2 layers, not 3"),
        ([-1, 0, 3], "`since` must list steps up to the record's step"),
        ([-1, 0, None], "`since` must list steps"),
        ([True, 0, 0], "`since` must list steps"),
        ({"a": 1}, "`since` must list steps"),
        (3, "`since` must list steps"),
    ],
)
def test_an_epoch_that_says_nonsense_is_named_and_left_out(tmp_path, since, text):
    training = MadeUpTraining(layers=3)
    with EventFile(tmp_path / "attention") as file:
        training.write(file, range(-1, 3))
        file.record(2, metadata.EPOCH_TAG, training.epoch(2, since=since))
    log = read_log(tmp_path)
    assert log.steps.tolist() == [-1, 0, 1]
    (problem,) = log.problems
    assert problem.startswith(f"attention_tab/epoch at step 2: {text}")


def test_logs_of_version_1_are_read(tmp_path):
    class Version1(MadeUpTraining):
        def setup(self):
            return {**super().setup(), "version": 1}

    with EventFile(tmp_path / "logs" / "attention", version=1) as file:
        Version1().write(file, range(-1, 2))
    log = read_log(tmp_path / "logs")
    assert log.unchanged_since(1) is None
    assert log.heads(1, 0)[0].shape == (2, 3, 4)
    with LOADERS["slow"](tmp_path / "logs") as source:
        answer = Tab(source).json("keys", run="attention", kind="heads", probe=0)
    assert answer["kept"] == {"steps": [], "keys": []}
