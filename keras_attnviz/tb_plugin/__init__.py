"""The Attention tab of TensorBoard: names, encoding, server and page. No TensorFlow, no Keras."""
