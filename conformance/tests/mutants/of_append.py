"""Faults of appending."""

import json
from collections.abc import Sequence

from msgspec.structs import replace

from mutants.registry import mutant
from spry_sqla.adapters import (
    Append,
    CommandRecord,
    EventRecord,
    KeyTaken,
    LinkRecord,
    MemoryAdapter,
    SnapshotRecord,
    UnitOfWork,
)
from spry_sqla.memory import (
    MemoryCommands,
    MemoryEvents,
    MemoryMaps,
    MemorySnapshots,
    MemoryUnit,
)


@mutant("P01", "gives events in the order of their contents")
class OrdersByContent(MemoryEvents):
    def rows_after(
        self, actor_id: str, origin: str, sequence: int, limit: int
    ) -> list[EventRecord]:
        rows = super().rows_after(actor_id, origin, sequence, limit)
        return sorted(rows, key=lambda row: row.content)


@mutant("P01", "gives a run of events for a replay in the order of their types")
class GroupsRunsByType(MemoryEvents):
    def run(
        self, actor_id: str, origin: str, sequence: int, limit: int
    ) -> Sequence[tuple[str, str]]:
        return sorted(super().run(actor_id, origin, sequence, limit), key=lambda row: row[0])


@mutant(
    "P02", "numbers events itself, by a counter that an append moves even when it fails", attempts=3
)
class CountsFailures(MemoryEvents):
    def append(self, events: Sequence[EventRecord]) -> None:
        counters = self.__dict__.setdefault("counters", {})
        numbered = []
        for event in events:
            key = (event.actor_id, event.origin)
            if self.at(event.actor_id, event.origin, event.sequence) is not None:
                raise KeyTaken
            counters[key] = counters.get(key, 0) + 1
            numbered.append(replace(event, sequence=counters[key]))
        super().append(numbered)


@mutant("P02", "numbers the events of an actor through, whatever their origins")
class NumbersThrough(MemoryEvents):
    def append(self, events: Sequence[EventRecord]) -> None:
        for event in events:
            others = sum(
                len(stream)
                for origin, stream in self._streams.get(event.actor_id, {}).items()
                if origin != event.origin
            )
            super().append([replace(event, sequence=event.sequence + others)])


@mutant("P03", "notes in a command when it was sent again")
class NotesRepetitions(MemoryCommands):
    def with_keys(self, keys: Sequence[str]) -> dict[str, str]:
        used = super().with_keys(keys)
        for command_id in used.values():
            row = self._by_id[command_id]
            again = replace(row, metadata=json.dumps({"again": True}))
            self._by_id[command_id] = again
        return used


@mutant("P03", "writes the events that a snapshot covers anew, with tidier JSON")
class TidiesCovered(MemorySnapshots):
    def append(self, snapshots: Sequence[SnapshotRecord]) -> None:
        super().append(snapshots)
        for snapshot in snapshots:
            for stream in self._events._streams.get(snapshot.actor_id, {}).values():
                stream[:] = [
                    replace(event, content=json.dumps(json.loads(event.content), indent=1))
                    for event in stream
                ]


@mutant("P04", "puts the events of a stale append behind those that are there")
class AppendsAnyway(MemoryEvents):
    def append(self, events: Sequence[EventRecord]) -> None:
        for event in events:
            stream = self._streams.get(event.actor_id, {}).get(event.origin, [])
            newest = stream[-1].sequence if stream else 0
            super().append([replace(event, sequence=max(event.sequence, newest + 1))])


@mutant("P04", "writes commands to a log of their own, before it sees that an append is stale")
class LogsAttempts(MemoryCommands):
    def append(self, commands: Sequence[CommandRecord]) -> None:
        marked = self._journal.mark()
        super().append(commands)
        del self._journal._undo[marked:]


@mutant("P07", "writes links at once, outside of the unit of work")
class LinksAtOnce(MemoryMaps):
    def link(self, links: Sequence[LinkRecord]) -> None:
        for link in links:
            if link.id in self._by_id:
                raise KeyTaken
            self._by_id[link.id] = link


@mutant("P07", "keeps in an index the keys of appends that failed")
class RemembersKeys(MemoryCommands):
    def append(self, commands: Sequence[CommandRecord]) -> None:
        remembered: set[str | None] = self.__dict__.setdefault("remembered", set())
        for command in commands:
            if command.idempotency_key in remembered:
                raise KeyTaken
            if command.idempotency_key is not None:
                remembered.add(command.idempotency_key)
        super().append(commands)


class FlatUnit(MemoryUnit):
    def nested(self) -> MemoryUnit:
        return FlatUnit(self._adapter, within=True)

    def rollback(self) -> None:
        if self._within:
            return  # "the outer one will do it"
        super().rollback()


@mutant("P07", "has no savepoints: what fails in a transaction stays in it")
class NoSavepoints(MemoryAdapter):
    def begin(self, *, write: bool) -> MemoryUnit:
        super().begin(write=write)
        return FlatUnit(self)


CHUNK = 1_000


@mutant("P10", "commits a large append in pieces")
class InPieces(MemoryAdapter):
    def append(self, unit: UnitOfWork, operation: Append) -> None:
        events = operation.events
        while len(events) > CHUNK:
            super().append(unit, Append(operation.actor, events=events[:CHUNK]))
            self.journal.forget()
            events = events[CHUNK:]
        super().append(unit, replace(operation, events=events))


@mutant("P10", "sorts sequences as texts of three digits")
class SortsTexts(MemoryEvents):
    def rows_after(
        self, actor_id: str, origin: str, sequence: int, limit: int
    ) -> list[EventRecord]:
        rows = super().rows_after(actor_id, origin, sequence, limit)
        return sorted(rows, key=lambda row: f"{row.sequence:03}")


@mutant("P10", "gives no more than a thousand rows, and does not say that more follow")
class CutsPages(MemoryEvents):
    def rows_after(
        self, actor_id: str, origin: str, sequence: int, limit: int
    ) -> list[EventRecord]:
        return super().rows_after(actor_id, origin, sequence, min(limit, CHUNK))
