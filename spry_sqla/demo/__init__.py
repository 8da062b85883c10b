"""The demo: a real day of flights from New York, played as commands and read back from events.

It is written as an application would be, against the public names of `spry_sqla` only.
"""
