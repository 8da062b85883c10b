"""The caller's transaction, and cancelled tasks."""
