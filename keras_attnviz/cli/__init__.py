"""The command `keras-attnviz`."""
