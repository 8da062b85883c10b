"""Faults of concurrency."""

import pickle
import time
from threading import RLock
from typing import Any

from msgspec.structs import replace

from mutants.registry import CLAIMS, MUTANTS, Mutant, mutant
from spry_conformance import Adapter
from spry_sqla.adapters import (
    AdapterStorage,
    Append,
    Appended,
    Conflict,
    Load,
    Loading,
    MemoryAdapter,
    UnitOfWork,
)
from spry_sqla.memory import Journal, MemoryStores, MemoryUnit

# Lost updates -------------------------------------------------------------------------------------


class CopyUnit:
    """A unit on a copy of all data, which takes the place of the data when it is committed."""

    def __init__(self, adapter: "LastOneWins") -> None:
        self._adapter = adapter
        self._journal, self._stores = pickle.loads(adapter.data)

    def stores(self, actor: str) -> MemoryStores:
        if actor not in self._stores:
            self._stores[actor] = MemoryStores(self._journal)
        stores: MemoryStores = self._stores[actor]
        return stores

    def nested(self) -> "Savepoint":
        return Savepoint(self._journal, self)

    def commit(self) -> None:
        self._journal.forget()
        self._adapter.data = pickle.dumps((self._journal, self._stores))

    def rollback(self) -> None:
        pass


class Savepoint:
    def __init__(self, journal: Journal, outer: CopyUnit) -> None:
        self._journal, self._outer, self._mark = journal, outer, journal.mark()

    def stores(self, actor: str) -> MemoryStores:
        return self._outer.stores(actor)

    def nested(self) -> "Savepoint":
        return Savepoint(self._journal, self._outer)

    def commit(self) -> None:
        pass

    def rollback(self) -> None:
        self._journal.roll_back(self._mark)


@mutant("P05", "reads all data when a unit begins, and writes all of it when it ends")
class LastOneWins(MemoryAdapter):
    def __init__(self) -> None:
        super().__init__()
        self.data = pickle.dumps((Journal(), {}))

    def begin(self, *, write: bool) -> UnitOfWork:  # type: ignore[override]
        return CopyUnit(self)


# Reads --------------------------------------------------------------------------------------------


class ReadingUnit(MemoryUnit):
    """A unit that holds no lock, and ends nothing."""

    def __init__(self, adapter: MemoryAdapter) -> None:
        super().__init__(adapter, within=True)

    def rollback(self) -> None:
        pass


@mutant("P06", "lets readers see what is not committed yet")
class ReadsUncommitted(MemoryAdapter):
    def begin(self, *, write: bool) -> MemoryUnit:
        return super().begin(write=True) if write else ReadingUnit(self)

    def append(self, unit: UnitOfWork, operation: Append) -> None:
        """As where each event goes to a server: meanwhile other threads go on."""
        for event in operation.events:
            super().append(unit, Append(operation.actor, events=[event]))
            time.sleep(0.001)
        super().append(unit, replace(operation, events=()))


class Remembering(MemoryAdapter):
    """One storage's view of an adapter: what it has loaded it loads no more, until it writes."""

    def __init__(self, adapter: MemoryAdapter) -> None:
        super().__init__()
        self._adapter = adapter
        self._loaded: dict[Any, Loading] = {}
        self._guard = RLock()

    def begin(self, *, write: bool) -> MemoryUnit:
        return self._adapter.begin(write=write)

    def load(self, unit: UnitOfWork, operation: Load) -> Loading:
        with self._guard:
            if operation not in self._loaded:
                self._loaded[operation] = self._adapter.load(unit, operation)
            return self._loaded[operation]

    def append(self, unit: UnitOfWork, operation: Append) -> None:
        self._loaded.clear()
        self._adapter.append(unit, operation)


def remembering() -> Adapter:
    held = [MemoryAdapter()]

    def reset() -> None:
        held[0] = MemoryAdapter()

    return Adapter(
        open=lambda domain, origin: AdapterStorage(Remembering(held[0]), domain, origin=origin),
        reset=reset,
        capabilities=CLAIMS,
        name="Remembering",
    )


MUTANTS.append(Mutant("P06", "answers from what it loaded before others have written", remembering))


class Swallowing(AdapterStorage):
    """It takes a conflict for its own append, come twice."""

    def _perform(self, operation: Any) -> Any:
        answer = super()._perform(operation)
        return Appended() if answer == Conflict() else answer


def swallowing() -> Adapter:
    held = [MemoryAdapter()]

    def reset() -> None:
        held[0] = MemoryAdapter()

    return Adapter(
        open=lambda domain, origin: Swallowing(held[0], domain, origin=origin),
        reset=reset,
        capabilities=CLAIMS,
        name="Swallowing",
    )


MUTANTS.append(Mutant("P06", "reports a conflict as stored", swallowing))
