"""Faults of replicas."""

from collections.abc import Sequence

import msgspec

from mutants.of_snapshots import Choosing
from mutants.registry import mutant
from spry_sqla.adapters import (
    EventRecord,
    Head,
    Load,
    Loading,
    MemoryAdapter,
    SnapshotRecord,
    UnitOfWork,
    new_id,
    tag_of,
)
from spry_sqla.memory import MemoryEvents


@mutant("P48", "does not keep what an event had seen of other origins")
class ForgetsCauses(MemoryEvents):
    def append(self, events: Sequence[EventRecord]) -> None:
        super().append([msgspec.structs.replace(event, seen=None) for event in events])


@mutant("P48", "gives an event of another origin an id of its own")
class GivesIdsOfItsOwn(MemoryEvents):
    def append(self, events: Sequence[EventRecord]) -> None:
        super().append(
            [
                event if event.origin == "main" else msgspec.structs.replace(event, id=new_id())
                for event in events
            ]
        )


@mutant("P48", "looks for its own origin alone")
class SeesItsOwnOrigin(MemoryEvents):
    def head(self, actor_id: str, origin: str) -> Head:
        stream = self._streams.get(actor_id, {}).get(origin)
        return Head(stream[-1].id, stream[-1].sequence, True) if stream else Head(None, 0, True)


@mutant("P48", "takes what waits for a cause into a run")
class RunsBeforeCauses(MemoryEvents):
    def run(
        self, actor_id: str, origin: str, sequence: int, limit: int
    ) -> Sequence[tuple[str, str]]:
        return [
            (tag_of(event.type, event.type_version), event.content)
            for event in self.rows_after(actor_id, origin, sequence, limit)
        ]


@mutant("P48", "uses snapshots that a late event has made wrong")
class UsesDivergent(Choosing):
    def is_wrong(self, row: SnapshotRecord, actor_id: str, origins: Sequence[str]) -> bool:
        return False


@mutant("P48", "loads events in the order of their arrival")
class OrdersByArrival(MemoryAdapter):
    def load(self, unit: UnitOfWork, operation: Load) -> Loading:
        loading = super().load(unit, operation)
        arrived = list(self.stores_of(operation.actor).events.by_id)
        for loaded in loading.actors:
            loaded.events.sort(key=lambda event: arrived.index(event.id))
        return loading
