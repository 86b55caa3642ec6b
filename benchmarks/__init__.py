"""Benchmarks of speed, memory and heatmap quality; see `README.md`. Not part of the wheel."""

import os

# TensorFlow reads it once, when it is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
