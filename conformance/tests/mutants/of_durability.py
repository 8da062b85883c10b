"""Faults of durability."""
