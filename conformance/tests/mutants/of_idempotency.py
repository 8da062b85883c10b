"""Faults of idempotency."""
