"""The probes at one moment: attention, gates and predictions, and the scalars from them."""
