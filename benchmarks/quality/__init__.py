"""Benchmarks of quality: which explanation method finds the object."""
