"""What the benchmarks share: photographs, the model, timing, and where results go."""
