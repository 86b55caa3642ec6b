"""Which token each row (query) and column (key) of an attention map is; start at `locate`."""
