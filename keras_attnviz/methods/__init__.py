"""Attention maps to a heatmap; pure TensorFlow that knows no Keras model."""
