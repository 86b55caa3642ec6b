"""Attention rollout in NumPy, and random attention maps for it."""

import numpy as np


def random_attentions(seed, *, layers=3, batch=2, heads=4, tokens=5, dtype="float32"):
    scores = np.random.default_rng(seed).normal(0, 2, (layers, batch, heads, tokens, tokens))
    exponentials = np.exp(scores)
    return list((exponentials / exponentials.sum(-1, keepdims=True)).astype(dtype))


def oracle(attentions, *, head_fusion, discard_ratio, residual, start_layer):
    """Returns attention rollout in float64 NumPy, image by image and row by row."""
    images = []
    for image in range(attentions[0].shape[0]):
        product = None
        for layer in attentions[start_layer:]:
            fused = getattr(np, head_fusion)(layer[image].astype(np.float64), axis=0)
            flat = fused.ravel()
            lowest = np.argsort(flat, kind="stable")[: int(discard_ratio * flat.size)]
            flat[lowest] = 0
            for row in fused:
                row /= row.sum() or 1.0
            mixed = residual * np.eye(len(fused)) + (1 - residual) * fused
            for row in mixed:
                row /= row.sum() or 1.0
            product = mixed if product is None else mixed @ product
        images.append(product)
    return np.stack(images)
