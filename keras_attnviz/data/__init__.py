"""Images in: files, class folders, data sets, masks, probes."""
