"""Faults of snapshots."""
