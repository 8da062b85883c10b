"""An adapter: where the records of a domain are kept, one unit of work after another.

An adapter begins units of work and gives the four stores within each. All operations are answered
here, from the stores; an adapter that can load or append in fewer steps overrides those two, and
must behave identically. What units mean for a caller's transaction is here, too.
"""

from abc import ABC, abstractmethod
from typing import Any, Protocol

from spry_sqla.errors import ConcurrencyError, StorageError, StorageUnavailable
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

    Others see all of a unit or nothing: those that begin after `commit` has returned see it, in
    every process. Within the unit, what it wrote is read. A later read in a unit sees at least what
    an earlier one saw. Of two units that claim one unique key the later one fails with KeyTaken,
    when it claims the key or at the latest when it commits.

    A unit is used and ended in the thread that began it. One that cannot go on after an error
    raises StorageUnavailable when it is asked to commit.
    """

    def stores(self, actor: str) -> Stores:
        """The four stores of the actor type of this stored name.

        The name need not have been used before: its stores are then empty. Asked for often, so it
        should cost little.
        """
        ...

    def nested(self) -> "UnitOfWork":
        """A unit within this one, a savepoint: rolled back, it leaves this one as it was.

        Asked of units that write. This one is not used until the nested one has ended, and what
        that commits is kept if this one commits.
        """
        ...

    def commit(self) -> None:
        """Keep all of it, as safe as the backend keeps anything. The unit has then ended.

        Raises KeyTaken when another unit took a key first, StorageUnavailable when it is not known
        whether it was kept, StorageFailure when the backend refused and nothing was; whichever, the
        unit has ended, and is not rolled back.
        """
        ...

    def rollback(self) -> None:
        """Undo all of it, or find it undone; raises nothing. The unit has then ended."""
        ...


class Adapter(ABC):
    """Somewhere to keep records. Threads may share one, each with units of its own.

    Its storages are `AdapterStorage` and `AsyncAdapterStorage`, which calls it in worker threads.
    Errors of its backend an adapter raises, from wherever they come, as one of two: as
    StorageUnavailable what may pass (out of reach, stayed locked, broke), which is tried again, and
    as StorageFailure what will not (a full disk, no privilege). Other exceptions reach the
    application as they are.
    """

    @abstractmethod
    def begin(self, *, write: bool) -> UnitOfWork:
        """Begin a unit of work. One that does not `write` is given nothing to keep.

        It may wait until others end; for those of this process not for ever, for they may wait for
        it. Raises StorageUnavailable, which here is not tried again, and StorageFailure; nothing
        has then begun.
        """

    def check(self) -> None:
        """See that the backend is there and can be used; a storage asks when it is made.

        Raises StorageUnavailable, StorageFailure, TablesMissing, TablesOutdated. A unit of work can
        be begun where nothing else is said.
        """
        self.begin(write=False).rollback()

    def load(self, unit: UnitOfWork, operation: Load) -> Loading:
        """Answer a load, in a unit that need not write. Override it where fewer steps do.

        `load_all`, of `unit.stores(operation.actor)`, is what it must be equal to.
        """
        return load_all(unit.stores(operation.actor), operation)

    def append(self, unit: UnitOfWork, operation: Append) -> None:
        """Write all of an append, in a unit that writes. Override it where fewer steps do.

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


def at_work() -> StorageError:
    """The error for a transaction that is asked for something while it is at work."""
    return StorageError(
        "two threads or tasks use one transaction at the same moment; let one wait for the other, "
        "or give each a transaction of its own"
    )


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
        try:
            nested.commit()
        except KeyTaken:
            return Conflict()
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
