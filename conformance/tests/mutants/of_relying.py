"""Faults of appends that rely on where actors are."""

from collections.abc import Sequence

from msgspec.structs import replace

from mutants.registry import mutant
from spry_sqla.adapters import (
    Append,
    KeyTaken,
    MemoryAdapter,
    UnitOfWork,
    holds,
)


def _heads(unit: UnitOfWork, operation: Append) -> Sequence[bool]:
    events = unit.stores(operation.actor).events
    return [events.head(each.actor_id, each.origin).id == each.head for each in operation.relies_on]


class _Careless(MemoryAdapter):
    """Sees to it in its own way."""

    def append(self, unit: UnitOfWork, operation: Append) -> None:
        if not self.all_hold(unit, operation):
            raise KeyTaken
        super().append(unit, replace(operation, relies_on=()))

    def all_hold(self, unit: UnitOfWork, operation: Append) -> bool:
        return True


@mutant("P53", "does not look at what an append relies on")
class LooksAtNothing(_Careless):
    pass


@mutant("P53", "looks at events, but not at whom identifiers reach")
class LooksAtEvents(_Careless):
    def all_hold(self, unit: UnitOfWork, operation: Append) -> bool:
        return all(_heads(unit, operation))


@mutant("P53", "looks at the first actor that an append relies on, only")
class LooksAtTheFirst(_Careless):
    def all_hold(self, unit: UnitOfWork, operation: Append) -> bool:
        return holds(unit.stores(operation.actor), operation.relies_on[:1], operation.keys)


@mutant("P53", "does not look for the keys that other origins have used")
class LooksForNoKeys(_Careless):
    def all_hold(self, unit: UnitOfWork, operation: Append) -> bool:
        return holds(unit.stores(operation.actor), operation.relies_on, ())


@mutant("P53", "looks at the events of this origin, only")
class LooksAtItsOwn(_Careless):
    def all_hold(self, unit: UnitOfWork, operation: Append) -> bool:
        events = unit.stores(operation.actor).events
        return all(
            [row.id for row in events.after(each.actor_id, each.origin, 0, 10_000)][-1:]
            == [each.head]
            for each in operation.relies_on
        )
