"""The same command twice, and many commands at once."""
