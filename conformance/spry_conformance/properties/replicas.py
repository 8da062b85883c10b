"""Events of other origins."""
