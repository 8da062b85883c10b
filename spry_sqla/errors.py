"""Every error that the library raises, in one tree under `SpryError`.

A message says what happened, where, and what to do. It names types, fields and tables, and never
carries a value of the application's nor an id of the library's.
"""


class SpryError(Exception):
    """The root of the tree: `except SpryError` catches whatever the library raises itself."""


class Rejected(SpryError):
    """A rule of the application said no: `handle` yields or returns it, and nothing is stored."""


class IdentifiersTaken(SpryError):
    """Events would give an actor identifiers that already belong to another one.

    It comes back in `Results.errors`; nothing of the command is stored.
    """


class KeyReused(SpryError):
    """An idempotency key that was used before came with another command; nothing was stored."""


class ConcurrencyError(SpryError):
    """Other writers were first at every attempt, and nothing was stored; handle it again."""


class ClockTooFarAhead(SpryError):
    """A stored id lies further in the future than is believed, and nothing was stored."""


class DefinitionError(SpryError):
    """A class, or a set of them, is written in a way that cannot work; raised at registration."""


class DuplicateName(DefinitionError):
    """Two registered types would share a stored name, or two actors a table."""


class UnusableType(DefinitionError):
    """A field's annotation names a type that cannot be kept."""


class NotRegistered(SpryError):
    """A class was used that its `Domain` does not know."""


class UnusableValue(SpryError):
    """A value cannot be kept; raised before anything is sent to a database."""


class UnusableIdentifiers(UnusableValue):
    """Identifiers are empty, or hold a name or a value that cannot identify."""


class StoredDataError(SpryError):
    """What is stored cannot be read by the code as it is."""


class UnknownType(StoredDataError):
    """A stream holds a type that is not registered."""


class UnreadableContent(StoredDataError):
    """The content of a stored record does not fit its class."""


class StorageError(SpryError):
    """The storage itself failed."""


class StorageClosed(StorageError):
    """The storage was closed before it was used."""


class StorageUnavailable(StorageError):
    """The database cannot be reached, or the connection broke and did not come back."""


class StorageFailure(StorageError):
    """The database refused the work: a full disk, a missing privilege, a read-only database."""


class TablesMissing(StorageError):
    """Tables of a registered actor are not in the database."""


class TablesOutdated(StorageError):
    """Tables of a registered actor are not of the format that this version of the library reads."""
