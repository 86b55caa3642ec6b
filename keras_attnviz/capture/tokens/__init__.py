"""Which token each row and column of a map stands for; start at `locate`."""
