"""TensorFlow graphs: their operations, paths and parts; knows no attention."""
