"""Attention maps and heatmaps to numbers; pure TensorFlow."""
