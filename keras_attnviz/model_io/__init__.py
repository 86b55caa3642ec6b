"""What a Keras model takes and gives, and how it is called."""
