"""Faults of values."""
