"""Faults of identity."""
