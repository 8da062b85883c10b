"""Faults of replicas."""
