"""Methods that compute a heatmap from attention maps; they know no Keras model."""
