"""What went wrong in a database, whichever it is."""

from enum import Enum, auto


class Fault(Enum):
    """The meaning of a driver's error."""

    TAKEN = auto()
    """A unique key is taken: another writer was first."""
    DEADLOCK = auto()
    """This transaction was chosen to give way to others; try again at once."""
    BUSY = auto()
    """A lock could not be had in time, and nothing was done."""
    LOST = auto()
    """The connection broke, or none could be had."""
    NO_TABLE = auto()
    """A table, or a function that belongs to it, is not there."""
    NO_COLUMN = auto()
    """A column is not there."""
    ENCODING = auto()
    """The database's encoding, or the connection's, lacks a character of what was to be stored."""
    REFUSED = auto()
    """Anything else: a full disk, a missing privilege, a read-only database."""
