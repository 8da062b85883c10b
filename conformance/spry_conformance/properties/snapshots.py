"""Snapshots: taken when due, used where right."""
