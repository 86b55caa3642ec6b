"""Keras layers: attention rollout, and attention for convolutional networks."""
