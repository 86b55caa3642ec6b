"""Keras callbacks: what logs a training, and what warns and stops."""
