"""Tried families: a family's small model, its `AttentionModel`, and inputs."""

import contextlib

import pytest
from zoo.weights import random_inputs

from keras_attnviz import AttentionModel

# Warnings of Keras and keras-hub about their own layers.
KNOWN_WARNINGS = [
    pytest.mark.filterwarnings("ignore:Layer 'attn' .of type WindowAttention.:UserWarning"),
    pytest.mark.filterwarnings(r"ignore:Layer 'stage_\d' looks like it has unbuilt:UserWarning"),
    pytest.mark.filterwarnings(r"ignore:`build\(\)` was called on layer:UserWarning"),
]


def partly_shown(family):
    """Expects a warning that rollout leaves out some attention; fails if it is missing."""
    if not family.is_partial:
        return contextlib.nullcontext()
    text = rf"Rollout shows part .* it passes by [1-{len(family.left_out)}] of "
    return pytest.warns(UserWarning, match=text)


class Tried:
    """A family's small model, its `AttentionModel`, and inputs."""

    def __init__(self, family):
        self.family = family
        self.model = family.model()
        options = dict(family.options)
        if family.image_shape:
            options["image_shape"] = family.image_shape
        if family.example:
            options["inputs"] = self.inputs(count=1)
        with partly_shown(family):
            self.attention_model = AttentionModel(self.model, **options)

    def inputs(self, count=2, seed=0):
        family = self.family
        return random_inputs(
            self.model,
            count=count,
            image_shape=family.image_shape,
            text_length=family.text_length,
            seed=seed,
        )

    def predictions(self, inputs):
        outputs = self.model(inputs, training=False)
        output = self.family.options.get("output")
        return (outputs if output is None else outputs[output]).numpy()
