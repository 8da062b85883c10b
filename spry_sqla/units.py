"""An adapter: where the records of a domain are kept, one unit of work after another.

An adapter begins units of work and gives the four stores within each. All operations are answered
here, from the stores; an adapter that can load or append in fewer steps overrides those two, and
must behave identically. What units mean for a caller's transaction is here, too.
"""

from abc import ABC, abstractmethod
from typing import Any, Protocol

from spry_sqla.errors import ConcurrencyError, StorageUnavailable
from spry_sqla.operations import (
    Append,
    Appended,
    Conflict,
    Load,
    Loading,
    Read,
    Unavailable,
)
from spry_sqla.stores import KeyTaken, Stores, append, load_all, read


class UnitOfWork(Protocol):
    """One transaction: what its stores are given is there for others after `commit`, or never.

    A unit that writes sees no half of another one, and of two that claim one unique key the later
    one fails, at the latest when it commits.
    """

    def stores(self, actor: str) -> Stores:
        """The four stores of the actor type of this stored name."""
        ...

    def nested(self) -> "UnitOfWork":
        """A unit within this one, a savepoint: rolled back, it leaves this one as it was."""
        ...

    def commit(self) -> None:
        """Keep all of it, as safe as the backend keeps anything. The unit has then ended.

        Raises KeyTaken when another unit took a key first, and StorageUnavailable when it is not
        known whether it was kept; either way the unit has ended.
        """
        ...

    def rollback(self) -> None:
        """Undo all of it. The unit has then ended."""
        ...


class Adapter(ABC):
    """Somewhere to keep records. Threads may share one.

    Its storages are `AdapterStorage` and `AsyncAdapterStorage`. What a subclass does not know how
    to handle it lets through as it is, but for errors of its backend, which it raises as
    StorageUnavailable (out of reach, stayed locked) or StorageFailure (refused the work).
    """

    @abstractmethod
    def begin(self, *, write: bool) -> UnitOfWork:
        """Begin a unit of work. One that does not `write` sees one moment of the data, or later.

        Raises StorageUnavailable, which is not tried again, and then nothing has begun.
        """

    def check(self) -> None:
        """See that the backend is there and can be used; a storage asks when it is made.

        Raises StorageUnavailable, TablesMissing, TablesOutdated. A unit of work can be begun where
        nothing else is said.
        """
        self.begin(write=False).rollback()

    def load(self, unit: UnitOfWork, operation: Load) -> Loading:
        """Answer a load, in a unit that need not write. Override it where fewer steps do."""
        return load_all(unit.stores(operation.actor), operation)

    def append(self, unit: UnitOfWork, operation: Append) -> None:
        """Write all of an append. Override it where fewer steps do.

        Raises KeyTaken, or anything else; the unit is then rolled back.
        """
        append(unit.stores(operation.actor), operation)


class Composed(Adapter):
    """An adapter without what it overrides: its stores alone, to compare the two."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter

    def begin(self, *, write: bool) -> UnitOfWork:
        return self._adapter.begin(write=write)

    def check(self) -> None:
        self._adapter.check()


def answer(adapter: Adapter, operation: Read | Append) -> Any:
    """Answer one operation, all of it or nothing, in a unit of work of its own.

    What breaks within it is answered as Unavailable, and is tried again.
    """
    unit = adapter.begin(write=isinstance(operation, Append))
    try:
        answered = _answered(adapter, unit, operation)
    except KeyTaken:
        unit.rollback()
        return Conflict()
    except StorageUnavailable as error:
        unit.rollback()
        return Unavailable(error, nothing_stored=True)
    except BaseException:
        unit.rollback()
        raise
    try:
        unit.commit()
    except KeyTaken:
        return Conflict()
    except StorageUnavailable as error:
        return Unavailable(error)
    return answered


def _answered(adapter: Adapter, unit: UnitOfWork, operation: Read | Append) -> Any:
    match operation:
        case Append():
            adapter.append(unit, operation)
            return Appended()
        case Load():
            return adapter.load(unit, operation)
        case _:
            return read(unit.stores(operation.actor), operation)


class Unit(Protocol):
    """What `storage.transaction()` runs on: begun, and committed or rolled back, once."""

    def begin(self) -> None: ...
    def answer(self, operation: Read | Append) -> Any: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...


class AsyncUnit(Protocol):
    """As `Unit`, awaited."""

    async def begin(self) -> None: ...
    async def answer(self, operation: Read | Append) -> Any: ...
    async def commit(self) -> None: ...
    async def rollback(self) -> None: ...


class AdapterUnit:
    """Several operations in one unit of work."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._unit: UnitOfWork

    def begin(self) -> None:
        """Begin it. Raises StorageUnavailable."""
        self._unit = self._adapter.begin(write=True)

    def answer(self, operation: Read | Append) -> Any:
        """Answer one operation; one that conflicts leaves the unit as it was before."""
        if not isinstance(operation, Append):
            return _answered(self._adapter, self._unit, operation)
        nested = self._unit.nested()
        try:
            self._adapter.append(nested, operation)
        except KeyTaken:
            nested.rollback()
            return Conflict()
        except BaseException:
            nested.rollback()
            raise
        nested.commit()
        return Appended()

    def commit(self) -> None:
        """Commit. Raises ConcurrencyError, StorageUnavailable."""
        try:
            self._unit.commit()
        except KeyTaken:
            raise ConcurrencyError(
                "another writer was first, and nothing of the transaction was stored; run it again"
            ) from None

    def rollback(self) -> None:
        """Roll back."""
        self._unit.rollback()
