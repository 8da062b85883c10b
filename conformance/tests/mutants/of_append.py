"""Faults of appending."""

from mutants.registry import mutant
from spry_sqla.adapters import EventRecord
from spry_sqla.memory import MemoryEvents


@mutant("P01", "gives events in the order of their contents")
class OrdersByContent(MemoryEvents):
    def rows_after(
        self, actor_id: str, origin: str, sequence: int, limit: int
    ) -> list[EventRecord]:
        rows = super().rows_after(actor_id, origin, sequence, limit)
        return sorted(rows, key=lambda row: row.content)
