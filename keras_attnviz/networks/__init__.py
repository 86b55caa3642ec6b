"""Vision Transformers by name, with their weights."""
