"""The memory plan: how many images run at once, and what is said of it."""

import numpy as np
import pytest
from tensorflow import keras
from zoo import plain

from keras_attnviz import AttentionModel, AttentionRolloutCallback, ProbeSet
from keras_attnviz.capture import memory_plan
from keras_attnviz.capture.memory_plan import MemoryPlan, bytes_of_image, planned
from keras_attnviz.monitor.probe_monitor import ProbeMonitor

ROLLOUT = {"head_fusion": "mean", "discard_ratio": 0.0, "residual": 0.5}
IMAGES = np.random.default_rng(0).uniform(-1, 1, (5, 32, 24, 3)).astype("float32")


@pytest.fixture(scope="module")
def attention_model():
    return AttentionModel(plain.class_token_first())


def test_bytes_by_hand():
    # 2 heads of 100 pairs, and 3 of 10: 5 maps of 800 bytes, 1.5 fused ones of 400 + 40.
    maps = [(2, 100), (3, 10)]
    assert bytes_of_image(maps, ["rollout"]) == 5 * 800 + 1.5 * 440
    assert bytes_of_image(maps, ["value_rollout"]) == 5 * 800 + 1.5 * 440 + 920
    assert bytes_of_image(maps, ["rollout", "relevance"]) == 5 * 800 + 1.5 * 440 + 3 * 920


@pytest.mark.parametrize(("room_for", "images"), [(0.5, 1), (1, 1), (2.9, 2), (8, 8), (1000, 8)])
def test_as_many_as_fit_and_one_at_least(attention_model, room_for, images):
    each = planned(attention_model.stack, ["rollout"], images=8).bytes_each
    plan = planned(attention_model.stack, ["rollout"], images=8, memory_limit=room_for * each)
    assert plan.images == images
    assert (plan.line("probes") is None) == (images == 8)


def test_a_quarter_of_the_free_memory_unless_given(attention_model, monkeypatch):
    each = planned(attention_model.stack, ["rollout"], images=8).bytes_each
    monkeypatch.setattr(memory_plan, "free_memory", lambda: 12.5 * each)
    plan = planned(attention_model.stack, ["rollout"], images=8)
    assert (plan.images, plan.limit) == (3, 12.5 * each / 4)
    assert plan.line("probes").startswith("Running 3 of 8 probes at a time: the attention of each")


def test_what_is_said_by_hand():
    said = "Running 2 of 8 probes at a time: the attention of each takes about"
    assert MemoryPlan(8, 8, 1e9, 9e9).line("probes") is None
    assert MemoryPlan(2, 8, 1.5e9, 4e9).line("probes") == f"{said} 1.5 GB, and 4.0 GB may be taken."
    assert MemoryPlan(2, 8, 5e7, 1.2e8, 2.5e7).line("probes") == (
        f"{said} 50 MB (25 MB of it for methods with gradients), and 0.1 GB may be taken."
    )
    assert MemoryPlan(1, 8, 3e9, 1e9).line("images") == (
        "Running 1 of 8 images at a time: the attention of each takes about 3.0 GB, more than the "
        "1.0 GB that may be taken."
    )


def test_what_methods_with_gradients_need(attention_model):
    plans = [
        planned(attention_model.stack, methods, images=8)
        for methods in (["rollout"], ["rollout", "relevance"])
    ]
    assert plans[0].bytes_of_gradients == 0
    assert plans[1].bytes_of_gradients == plans[1].bytes_each - plans[0].bytes_each > 0


def test_models_without_maps_need_none():
    assert planned(None, [], images=8).images == 8


def test_what_does_not_fit_is_refused_before_it_is_tried(monkeypatch):
    monkeypatch.setattr(memory_plan, "free_memory", lambda: 1000)
    text = (
        r"maps of one image must fit into memory\. Received: a model whose maps take about "
        r".* MB for one image, where 0\.001 MB are free\. Choose some of the layers with `layers`"
    )
    with pytest.raises(ValueError, match=text):
        AttentionModel(plain.class_token_first())


def snapshot(limit):
    keras.utils.set_random_seed(0)
    monitor = ProbeMonitor(
        plain.class_token_first(),
        ProbeSet(IMAGES),
        batch_size=8,
        start_layer=0,
        rollout_options=ROLLOUT,
        details=True,
        memory_limit=limit,
    )
    return monitor, monitor.snapshot()


def test_probes_in_parts_give_what_they_give_together():
    (alone, one), (together, all_) = snapshot(1), snapshot(None)
    assert alone.memory_line().startswith("Running 1 of 5 probes at a time")
    assert together.memory_line() is None
    for name, values in all_.measures.items():
        np.testing.assert_allclose(one.measures[name], values, rtol=1e-4, atol=1e-6, err_msg=name)
    for name, values in all_.heatmaps.items():
        np.testing.assert_allclose(one.heatmaps[name], values, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize(("verbose", "is_told"), [(0, False), (1, True)])
def test_a_fit_says_it(tmp_path, capsys, verbose, is_told):
    model = plain.class_token_first()
    model.compile("sgd", "mse")
    callback = AttentionRolloutCallback(ProbeSet(IMAGES), tmp_path, memory_limit=1)
    model.fit(
        IMAGES[:2], np.zeros((2, *model.output_shape[1:])), verbose=verbose, callbacks=[callback]
    )
    assert ("Running 1 of 5 probes at a time" in capsys.readouterr().out) == is_told


@pytest.mark.parametrize("limit", [0, -1, 1.5, "1 GB"])
def test_limits_that_are_none_are_refused(tmp_path, limit):
    with pytest.raises((TypeError, ValueError), match="memory_limit"):
        AttentionRolloutCallback(ProbeSet(IMAGES), tmp_path, memory_limit=limit)
