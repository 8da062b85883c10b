"""Faults of what an application sees, and of fused operations."""

from collections.abc import Sequence

from msgspec.structs import replace

from mutants.registry import CLAIMS, mutant
from spry_sqla.adapters import (
    Append,
    CommandRecord,
    KeyTaken,
    Load,
    Loading,
    MemoryAdapter,
    UnitOfWork,
)
from spry_sqla.memory import MemoryCommands, MemoryMaps

FUSED = CLAIMS | {"fused"}


@mutant("P51", "lists actors by their oldest names")
class ListsOldNames(MemoryMaps):
    def page(self, after: str, until: str, limit: int) -> list[tuple[str, str]]:
        first = {
            mappings[0].id: mappings[0].identifiers
            for mappings in self._by_actor.values()
            if mappings
        }
        return [(found, first[found]) for found, _ in super().page(after, until, limit)]


@mutant("P51", "reads the commands of a history as of the newest one of their actor")
class ReadsOtherCommands(MemoryCommands):
    def read(self, ids: Sequence[str]) -> list[CommandRecord]:
        found = super().read(ids)
        return [replace(each, metadata=found[-1].metadata) for each in found]


@mutant("P52", "looks for events until an id beyond all", capabilities=FUSED)
class LoadsBeyond(MemoryAdapter):
    def load(self, unit: UnitOfWork, operation: Load) -> Loading:
        return super().load(unit, replace(operation, until=None))


@mutant("P52", "looks for the first key only", capabilities=FUSED)
class LooksForOneKey(MemoryAdapter):
    def load(self, unit: UnitOfWork, operation: Load) -> Loading:
        return super().load(unit, replace(operation, keys=operation.keys[:1]))


@mutant("P52", "says that no more follow where a page is full", capabilities=FUSED)
class NeverHasMore(MemoryAdapter):
    def load(self, unit: UnitOfWork, operation: Load) -> Loading:
        loading = super().load(unit, operation)
        return loading._replace(actors=[each._replace(more=False) for each in loading.actors])


@mutant("P52", "does nothing on a conflict, and says that it is done", capabilities=FUSED)
class DoesNothingOnConflict(MemoryAdapter):
    def append(self, unit: UnitOfWork, operation: Append) -> None:
        nested = unit.nested()
        try:
            super().append(nested, operation)
        except KeyTaken:
            nested.rollback()
