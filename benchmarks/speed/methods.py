"""Measures explanation methods and metrics, in times the plain forward pass."""

import tensorflow as tf

from benchmarks.common import models
from benchmarks.common.timing import interleaved, median_ratio
from keras_attnviz import AttentionModel
from keras_attnviz.methods.evidence import VALUES
from keras_attnviz.methods.registry import METHODS, token_values
from keras_attnviz.monitor.attention_measures import Measures

SIZE, ROUNDS = 224, 7


def measure():
    """Returns a dict of ratios: each method, groups of methods, and what the metrics add."""
    model = models.vit_b16(SIZE)
    images = tf.constant(models.photographs(image_size=SIZE) / 127.5 - 1, tf.float32)
    attention_model = AttentionModel(model)
    measures = Measures(attention_model, image_size=(SIZE, SIZE), rollout_options={})

    def maps(names):
        @tf.function
        def run(batch):
            evidence = attention_model.evidence(batch, methods=names)
            return [token_values(name, evidence, attention_model.stack, {}) for name in names]

        return run

    @tf.function
    def with_metrics(batch):
        evidence = attention_model.evidence(batch, methods=["rollout"])
        found = measures.measured(evidence.attentions)
        return [token_values("rollout", evidence, attention_model.stack, {}), *found.values()]

    # Attention flow is for a few tokens, offline.
    names = [name for name in METHODS if name != "flow"]
    of_gradients = [name for name in names if set(METHODS[name].needs) - {VALUES}]
    of_forward = [name for name in names if name not in of_gradients]
    graphs = {
        "forward": tf.function(lambda batch: model(batch, training=False)),
        **{name: maps([name]) for name in names},
        "forward-only together": maps(of_forward),
        "gradients together": maps(of_gradients),
        "all": maps(names),
        "rollout and metrics": with_metrics,
    }
    seconds = interleaved(
        {
            name: lambda graph=graph: tf.nest.flatten(graph(images))[-1].numpy()
            for name, graph in graphs.items()
        },
        rounds=ROUNDS,
    )
    ratios = {name: median_ratio(seconds, name, "forward") for name in graphs if name != "forward"}
    added = zip(*(seconds[n] for n in ("rollout and metrics", "rollout", "forward")), strict=True)
    ratios["metrics"] = sorted((a - b) / c for a, b, c in added)[ROUNDS // 2]
    return ratios


if __name__ == "__main__":
    for name, ratio in measure().items():
        print(f"{name:<26} {ratio:6.3f}")
