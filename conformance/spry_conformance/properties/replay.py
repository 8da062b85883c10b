"""Events to state: the same each time, from everywhere."""
