"""Pictures to predictions and heatmaps, one by one or a whole data set."""
