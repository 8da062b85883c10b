"""Replicas that write and hear of each other, in plain Python: what each may know, and when.

The main origin is the storage; the others are made up. Each has a clock that stands still, and
gives ids that are greater than all that it knows of, as the clocks of real replicas do.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from spry_conformance.foreign import id_of, tick_of
from spry_conformance.lab import Broken, expect
from spry_conformance.steps import MAIN, Elsewhere
from spry_sqla.adapters import EventRecord, new_id

SECOND = 10_000_000
"""Ticks in a second."""

APART = SECOND // 10
"""Ticks between two clocks."""

FURTHEST = 30 * SECOND
"""How far a clock is ahead of the time of day at most: what is too far ahead is refused."""

CLOCKS = {"ahead": APART, "still": 0, "behind": -APART}
"""The other replicas, by where their clocks stand."""

Vector = dict[str, int]

_EPOCH = 0x01B21DD213814000  # ticks from 1582-10-15 to 1970-01-01


@dataclass(frozen=True)
class Written:
    """A deposit that an origin made to Ada's account, knowing of others."""

    origin: str
    sequence: int
    seen: Vector
    event_id: str
    amount: int


class World:
    """What has been written anywhere, what has arrived at the storage, and what each knows."""

    def __init__(self) -> None:
        self.written: list[Written] = []
        self.pending: list[Written] = []
        self.here: list[Written] = []
        self._known: dict[str, Vector] = {origin: {} for origin in [MAIN, *CLOCKS]}
        self._start = new_id()
        latest = time.time_ns() // 100 + _EPOCH + FURTHEST
        start = tick_of(self._start)
        self._clocks = {origin: min(start + by, latest) for origin, by in CLOCKS.items()}

    def elsewhere(self, step: Elsewhere) -> None:
        """Play the step: an event that the storage is not told of yet."""
        known = self._known[step.origin]
        self._known[MAIN] = self._taken()
        for other in step.heard:
            for origin, sequence in self._known[other].items():
                known[origin] = max(sequence, known.get(origin, 0))
        seen = {origin: count for origin, count in known.items() if origin != step.origin}
        sequence = known.get(step.origin, 0) + 1
        causes = (each for each in self.written if each.sequence <= known.get(each.origin, 0))
        newest = max((tick_of(cause.event_id) for cause in causes), default=0)
        tick = max(self._clocks[step.origin], newest + 1)
        known[step.origin] = sequence
        event_id = id_of(tick, list(CLOCKS).index(step.origin), self._start)
        event = Written(step.origin, sequence, seen, event_id, 100 + len(self.written))
        self.written.append(event)
        self.pending.append(event)

    def arrive(self, which: int) -> Written:
        """Which of the pending events arrives; there are some."""
        event = self.pending.pop(which % len(self.pending))
        self.here.append(event)
        return event

    def least_expected(self) -> int:
        """Of the pending events the one that may wait longest: the last first one of an origin."""
        places = range(len(self.pending))
        return min(places, key=lambda place: (self.pending[place].sequence, -place))

    def visible(self) -> list[Written]:
        """What a state must be made of: what follows without hole, after its causes."""
        taken: Vector = {}
        visible = []
        for event in sorted(self.here, key=lambda each: each.event_id):
            follows = event.sequence == taken.get(event.origin, 0) + 1
            if follows and all(taken.get(each, 0) >= count for each, count in event.seen.items()):
                taken[event.origin] = event.sequence
                visible.append(event)
        return visible

    def decided(self, rows: Sequence[EventRecord], amounts: Sequence[int]) -> None:
        """The storage has decided: see that its new rows know and follow all that it had seen.

        Raises Broken where they do not.
        """
        seen, newest = self._taken(), max((each.event_id for each in self.visible()), default="")
        sequence = seen.pop(MAIN, 0)
        new = [row for row in rows if row.origin == MAIN and row.sequence > sequence]
        new.sort(key=lambda row: row.sequence)
        expect(len(new), len(amounts), "how many new events of the main origin there are")
        for row, amount in zip(new, amounts, strict=True):
            sequence += 1
            expect(row.sequence, sequence, "the sequence of a new event of the main origin")
            found = {} if row.seen is None else json.loads(row.seen)
            expect(found, seen, f"what the deposit of {amount} had seen of other origins")
            if row.id <= newest:
                raise Broken(
                    f"the deposit of {amount} has the id {row.id}, which is not after {newest}, "
                    "an event that it was decided on"
                )
            newest = row.id
            event = Written(MAIN, sequence, seen, row.id, amount)
            self.written.append(event)
            self.here.append(event)

    def _taken(self) -> Vector:
        return {event.origin: event.sequence for event in self.visible()}
