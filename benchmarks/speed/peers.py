"""Measures attention maps and rollout of Hugging Face's ViT-B/16 in PyTorch, in forward passes.

Prints JSON. `run_peers.py` runs it in an environment of its own. It imports neither keras_attnviz
nor TensorFlow.
"""

import json
import os
import statistics
import sys

import numpy as np
import torch
import transformers

from benchmarks.common.photographs import photographs
from benchmarks.common.timing import interleaved, median_ratio

ROUNDS, RESIDUAL = 15, 0.5


def vit_b16(attention):
    """Returns a ViT-B/16 with random weights, the same at each call; nothing is downloaded."""
    torch.manual_seed(0)
    config = transformers.ViTConfig(num_labels=10, attn_implementation=attention)
    return transformers.ViTForImageClassification(config).eval()


def rollout(attentions):
    """Returns the class token's row of attention rollout, as it is usually written.

    Args:
        attentions: float tensors `[batch, heads, tokens, tokens]`, one a layer, rows sum to 1.

    Returns:
        float tensor `[batch, tokens - 1]`.
    """
    product = None
    for attention in attentions:
        fused = attention.mean(dim=1)
        mixed = RESIDUAL * fused + (1 - RESIDUAL) * torch.eye(fused.shape[-1])
        mixed = mixed / mixed.sum(dim=-1, keepdim=True)
        product = mixed if product is None else mixed @ product
    return product[:, 0, 1:]


def rollout_by_numpy(attentions):
    """Returns the same in float64, one image after the other, from the class token downward."""
    rows = []
    for layers in zip(*(each.numpy().astype(np.float64) for each in attentions), strict=True):
        row = np.eye(layers[0].shape[-1])[0]
        for heads in reversed(layers):
            row = RESIDUAL * row @ heads.mean(axis=0) + (1 - RESIDUAL) * row
        rows.append(row[1:])
    return np.stack(rows)


def measure():
    """Checks the results, then returns a dict from name to the list of seconds."""
    images = torch.from_numpy(np.float32(photographs() / 127.5 - 1)).permute(0, 3, 1, 2)
    images = images.contiguous()
    plain, eager = vit_b16("sdpa"), vit_b16("eager")

    def with_maps(model):
        return model(images, output_attentions=True)

    def with_rollout(model):
        outputs = with_maps(model)
        return outputs.logits.numpy(), rollout(outputs.attentions).numpy()

    check(plain(images).logits, with_maps(eager))
    return interleaved(
        {
            "forward": lambda: plain(images).logits.numpy(),
            "maps": lambda: with_maps(eager).logits.numpy(),
            # The same whatever is frozen, because nothing is kept.
            "rollout": lambda: with_rollout(eager),
        },
        rounds=ROUNDS,
    )


def check(logits, outputs):
    """Fails if the two kinds of attention disagree, or rollout and NumPy's."""
    assert len(outputs.attentions) == 12
    assert all(attention.shape == (8, 12, 197, 197) for attention in outputs.attentions)
    np.testing.assert_allclose(outputs.logits.numpy(), logits.numpy(), atol=1e-4)
    expected = rollout_by_numpy(outputs.attentions)
    np.testing.assert_allclose(rollout(outputs.attentions).numpy(), expected, rtol=1e-4)


def main():
    torch.set_num_threads(os.cpu_count())
    with torch.no_grad():
        seconds = measure()
    assert not {"tensorflow", "keras_attnviz"} & set(sys.modules)
    ratios = {name: median_ratio(seconds, name, "forward") for name in seconds}
    found = {
        "ratios": ratios,
        "forward (s)": statistics.median(seconds["forward"]),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
