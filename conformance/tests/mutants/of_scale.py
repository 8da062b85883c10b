"""Faults of scale."""

from collections.abc import Sequence
from typing import Any

from mutants.registry import CLAIMS, mutant
from spry_sqla.adapters import CommandRecord, EventRecord
from spry_sqla.memory import MemoryCommands, MemoryEvents, MemoryMaps


class Counting(MemoryEvents):
    """Counts the rows that it looks at."""

    looked_at = 0

    def look(self, rows: list[EventRecord]) -> list[EventRecord]:
        Counting.looked_at += len(rows)
        return rows

    def rows_after(
        self, actor_id: str, origin: str, sequence: int, limit: int
    ) -> list[EventRecord]:
        return self.look(super().rows_after(actor_id, origin, sequence, limit))


MEASURED: dict[str, Any] = {
    "capabilities": CLAIMS | {"measured"},
    "work": lambda storage: Counting.looked_at,
}


@mutant("P50", "looks through the events of all actors", **MEASURED)
class LooksThroughAll(Counting):
    def rows_after(
        self, actor_id: str, origin: str, sequence: int, limit: int
    ) -> list[EventRecord]:
        rows = [
            row
            for row in self.look(list(self.by_id.values()))
            if (row.actor_id, row.origin) == (actor_id, origin) and row.sequence > sequence
        ]
        return sorted(rows, key=lambda row: row.sequence)[:limit]


@mutant("P50", "does not heed the limit of a page of events")
class HeedsNoLimit(MemoryEvents):
    def rows_after(
        self, actor_id: str, origin: str, sequence: int, limit: int
    ) -> list[EventRecord]:
        return super().rows_after(actor_id, origin, sequence, 1_000_000)


@mutant("P50", "does not heed the limit of a page of actors")
class GivesAllActors(MemoryMaps):
    def page(self, after: str, until: str, limit: int) -> list[tuple[str, str]]:
        return super().page(after, until, 1_000_000)


@mutant("P50", "gives actors, too, that came while they were read")
class GivesNewcomers(MemoryMaps):
    def page(self, after: str, until: str, limit: int) -> list[tuple[str, str]]:
        return super().page(after, "f" * 32, limit)


@mutant("P50", "gives all commands, whichever are asked for")
class GivesAllCommands(MemoryCommands):
    def read(self, ids: Sequence[str]) -> list[CommandRecord]:
        return list(self._by_id.values())


@mutant("P50", "gives all idempotency keys, whichever are asked for")
class GivesAllKeys(MemoryCommands):
    def with_keys(self, keys: Sequence[str]) -> dict[str, str]:
        return super().with_keys(list(self._by_key)) if keys else {}
