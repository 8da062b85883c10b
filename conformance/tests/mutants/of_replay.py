"""Faults of replay."""
