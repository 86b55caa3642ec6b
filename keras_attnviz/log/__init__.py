"""Snapshots to event files, and event files back to arrays."""
