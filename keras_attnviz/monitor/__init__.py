"""What a model does on the probes at one moment."""
