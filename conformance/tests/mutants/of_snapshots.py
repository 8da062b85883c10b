"""Faults of snapshots."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgspec

from mutants.registry import mutant, stores
from spry_sqla.adapters import Append, SnapshotRecord, StoredSnapshot, UnitOfWork
from spry_sqla.memory import MemorySnapshots


class Choosing(MemorySnapshots):
    """Chooses among snapshots, each of whose rules a fault may replace."""

    def newest(
        self,
        actor_id: str,
        fingerprint: str,
        origins: Sequence[str],
        version: int | None,
        until: str | None,
    ) -> StoredSnapshot | None:
        for row in reversed(self.in_order(self._by_actor.get(actor_id, []))):
            snapshot = StoredSnapshot(row.id, row.state, row.vector, row.version, row.last_event)
            if (
                self.same_code(row.fingerprint, fingerprint)
                and (version is None or row.version <= version)
                and (until is None or row.last_event <= until)
                and self.is_there(row)
                and self.can_be_read(row)
                and not self.is_wrong(row, actor_id, origins)
            ):
                return snapshot
        return None

    def in_order(self, rows: list[SnapshotRecord]) -> list[SnapshotRecord]:
        return rows

    def same_code(self, one: str, other: str) -> bool:
        return one == other

    def is_there(self, row: SnapshotRecord) -> bool:
        return row.last_event in self._events.by_id

    def can_be_read(self, row: SnapshotRecord) -> bool:
        return True

    def is_wrong(self, row: SnapshotRecord, actor_id: str, origins: Sequence[str]) -> bool:
        snapshot = StoredSnapshot(row.id, row.state, row.vector, row.version, row.last_event)
        return self._divergent(actor_id, origins, snapshot)


@mutant("P27", "keeps one snapshot of an actor, the first")
class KeepsTheFirst(MemorySnapshots):
    def append(self, snapshots: Sequence[SnapshotRecord]) -> None:
        super().append([each for each in snapshots if not self._by_actor.get(each.actor_id)])


@mutant("P27", "gives the snapshot that was stored last, of whatever version")
class NewestByInsertion(Choosing):
    def in_order(self, rows: list[SnapshotRecord]) -> list[SnapshotRecord]:
        return sorted(rows, key=attrgetter("id"))


@mutant("P27", "stores a snapshot with the vector of the one before")
class StaleVectors(MemorySnapshots):
    def append(self, snapshots: Sequence[SnapshotRecord]) -> None:
        for each in snapshots:
            before = self._by_actor.get(each.actor_id)
            vector = before[-1].vector if before else each.vector
            super().append([msgspec.structs.replace(each, vector=vector)])


@mutant("P28", "does not look at the fingerprint")
class IgnoresFingerprint(Choosing):
    def same_code(self, one: str, other: str) -> bool:
        return True


@mutant("P28", "compares fingerprints as texts that have no case")
class ForgetsCase(Choosing):
    def same_code(self, one: str, other: str) -> bool:
        return one.casefold() == other.casefold()


@mutant("P29", "cannot read every vector, and fails")
class FailsAtVectors(Choosing):
    def can_be_read(self, row: SnapshotRecord) -> bool:
        vector: dict[str, int] = msgspec.json.decode(row.vector)
        return sum(vector.values()) > 0


@mutant("P29", "passes over a state that is no object, and tells nobody")
class PassesOverInSilence(Choosing):
    def can_be_read(self, row: SnapshotRecord) -> bool:
        return row.state.startswith("{")


@mutant("P29", "gives the newest snapshot of any actor")
class OfAnyActor(MemorySnapshots):
    def newest(
        self,
        actor_id: str,
        fingerprint: str,
        origins: Sequence[str],
        version: int | None,
        until: str | None,
    ) -> StoredSnapshot | None:
        found = [
            MemorySnapshots.newest(self, each, fingerprint, origins, version, until)
            for each in self._by_actor
        ]
        return max(filter(None, found), key=attrgetter("last_event"), default=None)


@mutant("P30", "does not look whether the last event of a snapshot is stored")
class TrustsLastEvent(Choosing):
    def is_there(self, row: SnapshotRecord) -> bool:
        return True


@mutant("P30", "looks whether a stream is as long as a snapshot says, and not at its last event")
class CountsEvents(Choosing):
    def is_there(self, row: SnapshotRecord) -> bool:
        vector = msgspec.json.decode(row.vector)
        return all(self._events.at(row.actor_id, *last) is not None for last in vector.items())


class KeptAside(MemorySnapshots):
    """Snapshots that no unit of work takes back."""

    def append(self, snapshots: Sequence[SnapshotRecord]) -> None:
        mark = self._journal.mark()
        super().append(snapshots)
        del self._journal._undo[mark:]


SnapshotsAside: Any = stores(snapshots=KeptAside)


@mutant("P30", "stores the snapshot first, in a transaction of its own")
class SnapshotFirst(SnapshotsAside):  # type: ignore[misc]
    def append(self, unit: UnitOfWork, operation: Append) -> None:
        unit.stores(operation.actor).snapshots.append(operation.snapshots)
        super().append(unit, msgspec.structs.replace(operation, snapshots=()))
