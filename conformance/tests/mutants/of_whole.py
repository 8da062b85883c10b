"""Faults of whole."""
