"""A Keras model to its attention maps and gates; start at `attention_model`."""
