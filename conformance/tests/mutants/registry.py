"""Adapters that are broken on purpose, and the property that must catch each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from spry_conformance import Adapter
from spry_sqla.adapters import AdapterStorage, AsyncAdapterStorage, MemoryAdapter
from spry_sqla.memory import (
    MemoryCommands,
    MemoryEvents,
    MemoryMaps,
    MemorySnapshots,
    MemoryStores,
)

CLAIMS = frozenset({"concurrent", "replicas", "transactions"})
"""What memory can claim."""


@dataclass(frozen=True)
class Mutant:
    """One fault, put into an adapter that is right without it."""

    property: str
    fault: str
    make: Callable[[], Adapter]

    def __str__(self) -> str:
        return f"{self.property}: {self.fault}"


MUTANTS: list[Mutant] = []


def in_memory(
    kind: Callable[[], MemoryAdapter] = MemoryAdapter,
    *,
    awaited: bool = False,
    storage: Callable[..., Any] | None = None,
    attempts: int = 50,
    **options: Any,
) -> Adapter:
    """An adapter for the kit, on adapters in memory; `options` are those of `Adapter`.

    `storage` makes a storage of another class than the usual ones. With fewer `attempts`, mutants
    that conflict for ever fail sooner.
    """
    held = [kind()]
    make = storage or (AsyncAdapterStorage if awaited else AdapterStorage)

    def reset() -> None:
        held[0] = kind()

    options.setdefault("capabilities", CLAIMS | {"async"} if awaited else CLAIMS)
    options.setdefault("name", getattr(kind, "__name__", "memory"))
    return Adapter(
        open=lambda domain, origin: make(held[0], domain, origin=origin, attempts=attempts),
        reset=reset,
        **options,
    )


K = TypeVar("K", bound=type[Any])


def mutant(property: str, fault: str, **options: Any) -> Callable[[K], K]:
    """Register a MemoryAdapter, or one of its stores, as a mutant; `options`: see `in_memory`."""

    def register(kind: K) -> K:
        MUTANTS.append(Mutant(property, fault, lambda: in_memory(_adapter(kind), **options)))
        return kind

    return register


def _adapter(kind: type[Any]) -> type[MemoryAdapter]:
    for name, usual in _STORES.items():
        if issubclass(kind, usual):
            return stores(**{name: kind})
    return kind


_STORES = {
    "commands": MemoryCommands,
    "events": MemoryEvents,
    "maps": MemoryMaps,
    "snapshots": MemorySnapshots,
}


def stores(**kinds: type[Any]) -> type[MemoryAdapter]:
    """A MemoryAdapter, to be inherited or as it is, some of whose stores are others."""
    of = {**_STORES, **kinds}

    class Stored(MemoryAdapter):
        def stores_of(self, actor: str) -> MemoryStores:
            if actor not in self._stores:
                made = self._stores[actor] = MemoryStores(self.journal)
                made.commands = of["commands"](self.journal)
                made.events = of["events"](self.journal)
                made.maps = of["maps"](self.journal)
                made.snapshots = of["snapshots"](self.journal, made.events)
            return self._stores[actor]

    return Stored
