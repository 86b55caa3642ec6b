"""The Attention tab of TensorBoard: names, encoding, server and page; no TensorFlow, no Keras."""
