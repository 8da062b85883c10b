"""Whom identifiers reach."""
