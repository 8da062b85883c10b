"""Faults of concurrency."""
