"""Faults of transactions."""
