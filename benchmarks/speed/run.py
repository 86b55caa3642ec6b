"""Measures speed and memory as ratios within one run; prints a table and writes it as JSON."""

import numpy as np
import tensorflow as tf
from vit_keras import visualize

from benchmarks.common import models
from benchmarks.common.figures import row, show, write
from benchmarks.common.timing import interleaved, median_ratio, printed_by
from benchmarks.speed import demo_share, epochs, frozen, methods, startup, tab
from keras_attnviz import AttentionModel, attention_rollout

LAYERS, HEADS = 12, 12


def probe_pass():
    """Returns rows about predictions and rollout of 8 probes through ViT-B/16 at 224 pixels."""
    model, pictures = models.vit_b16(), models.photographs()
    images = tf.constant(pictures / 127.5 - 1, tf.float32)
    attention_model = AttentionModel(model)
    forward = tf.function(lambda batch: model(batch, training=False))

    @tf.function
    def probe(batch):
        predictions, attentions = attention_model(batch)
        return predictions, attention_model.heatmap(attentions)

    with epochs.begun(model, images.numpy()) as end_epoch:
        fast = interleaved(
            {
                "forward": lambda: forward(images).numpy(),
                "probe": lambda: probe(images)[1].numpy(),
                "epoch": end_epoch,
            },
            rounds=15,
        )
    slow = interleaved(
        {
            "probe": lambda: probe(images)[1].numpy(),
            "vit-keras": lambda: [visualize.attention_map(model, picture) for picture in pictures],
        },
        rounds=3,
    )
    return [
        row("predictions + rollout / forward pass", median_ratio(fast, "probe", "forward"), 1.10),
        row("on_epoch_end / forward pass", median_ratio(fast, "epoch", "forward"), 1.25),
        row(
            "8 x vit-keras attention_map / predictions + rollout",
            median_ratio(slow, "vit-keras", "probe"),
            10,
            at_least=True,
        ),
        seconds_row("forward pass, 8 images", fast["forward"]),
    ]


def token_counts():
    """Returns rows about the rollout alone: class row and full product, by number of tokens."""
    rows, previous = [], None
    class_row = tf.function(lambda *layers: attention_rollout(layers, query=0))
    product = tf.function(lambda *layers: attention_rollout(layers))
    for tokens, rounds in [(197, 15), (785, 7), (3137, 3)]:
        scores = np.random.default_rng(0).random((1, HEADS, tokens, tokens), np.float32)
        layers = [tf.nn.softmax(tf.constant(scores))] * LAYERS
        seconds = interleaved(
            {
                "row": lambda layers=layers: class_row(*layers).numpy(),
                "product": lambda layers=layers: product(*layers).numpy(),
            },
            rounds=rounds,
        )
        medians = {name: float(np.median(values)) for name, values in seconds.items()}
        rows.append(seconds_row(f"class row, {tokens} tokens", seconds["row"]))
        rows.append(seconds_row(f"full product, {tokens} tokens", seconds["product"]))
        if previous is not None:
            growth = np.log(tokens / previous[0])
            for name in ("row", "product"):
                exponent = np.log(medians[name] / previous[1][name]) / growth
                label = f"{name}: grows with tokens to the power of, {previous[0]} to {tokens}"
                rows.append(row(label, float(exponent)))
        previous = tokens, medians
    return rows


def memory():
    """Returns rows about peak memory, each kind of pass in a process of its own."""
    before, plain, _ = printed_by("benchmarks.speed.memory", "plain")
    before_probe, probe, _ = printed_by("benchmarks.speed.memory", "probe")
    return [
        row("peak memory of process, probe / forward pass", probe / plain),
        row("the same above the built model", (probe - before_probe) / (plain - before)),
        {"what": "peak memory, forward pass (MB)", "value": plain},
        {"what": "peak memory, probe pass (MB)", "value": probe},
        {"what": "built model (MB)", "value": before},
    ]


def large_images():
    """Returns rows about the memory that the callback takes on large images, 8 probes."""
    rows = []
    for sizes, limit in {(384, 6, 16, 256): 300, (1024, 12, 12, 768): 1500}.items():
        _, plain, predict_takes = printed_by("benchmarks.speed.memory", "predict", *sizes)
        _, callback, waited = printed_by("benchmarks.speed.memory", "callback", *sizes)
        size, layers, heads, _ = sizes
        name = f"{size} px, {layers} layers of {heads} heads"
        rows += [
            row(f"{name}: peak memory above predict's (MB)", callback - plain, limit),
            row(f"{name}: time before the first step / first predict", waited / predict_takes, 3),
        ]
    return rows


def set_up():
    """Returns rows about what a fit waits for before its first step."""
    limits = {
        "ViT-B/16, frozen backbone": (1.5, 1.0),
        "ViT-L/16, all trained": (1.8, None),
        "ViT-S/14 of 11 layers at 168 px": (1.5, None),
    }
    rows = []
    for name, figures in startup.measure().items():
        wait, alone = limits.get(name, (None, None))
        for what, limit in {
            "before the first step / first predict": wait,
            "AttentionModel / first predict": alone,
        }.items():
            rows.append(row(f"{name}: {what}", figures[what], limit))
    seconds = figures["before the first step (s)"]
    return [*rows, row(f"{name}: before the first step (s)", seconds, 1.5)]


def attention_tab():
    """Returns rows about the Attention tab on a log of 300 epochs of 8 probes."""
    found = tab.measure()
    limits = {
        "scrub": ("tab: slider to picture, cold, 20 epochs a second (ms)", 20),
        "scrub, 95 %": ("the same, 95th percentile (ms)", None),
        "at once": ("the same, each epoch as soon as the last is drawn (ms)", None),
        "at once, 95 %": ("the same, 95th percentile (ms)", None),
        "scrub, work": ("of the 20 a second, the page's own work (ms)", None),
        "scrub, shown": ("20 a second, until the frame that shows it is over (ms)", None),
        "at once, shown": ("as soon as the last is drawn, the same (ms)", None),
        "first picture": ("tab: opening to first picture (s)", 1),
        "epoch": ("tab: written each epoch, 8 probes (MB)", 0.6),
        "log": ("tab: log of 300 epochs (MB)", None),
        "memory": ("TensorBoard's memory with it (MB)", None),
        "memory after": ("TensorBoard's memory after scrubbing (MB)", None),
        "start with": ("TensorBoard's start (s)", None),
        "start grows": ("of it the plugin's (s)", 0.3),
    }
    return [row(text, found[name], limit) for name, (text, limit) in limits.items()]


def frozen_models():
    """Returns rows about a partly frozen ViT-B/16, and about the demo."""
    limits = {
        ("2 of 12 blocks", "probe pass"): 0.25,
        ("head", "probe pass"): 0.05,
        ("all", "probe pass"): 1.03,
        ("2 of 12 blocks", "on_epoch_end"): 0.27,
        ("head", "on_epoch_end"): 0.08,
        ("all", "on_epoch_end"): 1.10,
        ("2 of 12 blocks", "on_epoch_end less the pass (s)"): 0.12,
        ("2 of 12 blocks", "fingerprint"): 0.03,
        ("head", "fingerprint"): 0.03,
    }
    rows = [
        row(f"{trainable} trainable: {what}", value, limits.get((trainable, what)))
        for trainable, figures in frozen.measure().items()
        for what, value in figures.items()
    ]
    share, seconds = demo_share.measure()
    rows.append(row("share of a demo epoch spent in the callback", share))
    return [*rows, row("demo epoch (s)", seconds)]


def explanation_methods():
    """Returns rows about the explanation methods and metrics, on 8 photographs."""
    limits = {
        "forward-only together": 1.00,
        "gradient_rollout": 1.88,
        "relevance": 1.88,
        "legrad": 1.88,
        "gradients together": 2.3,
        "metrics": 0.03,
    }
    return [
        row(f"{name} / forward pass", ratio, limits.get(name))
        for name, ratio in methods.measure().items()
    ]


def seconds_row(what, values):
    return {"what": f"{what} (s)", "value": float(np.median(values))}


def main():
    parts = (
        probe_pass,
        frozen_models,
        explanation_methods,
        token_counts,
        set_up,
        memory,
        large_images,
        attention_tab,
    )
    # Each part's rows as soon as they are there: all of it takes a quarter of an hour.
    write([entry for part in parts for entry in show(part())])


if __name__ == "__main__":
    main()
