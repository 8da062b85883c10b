"""Faults of scale."""
