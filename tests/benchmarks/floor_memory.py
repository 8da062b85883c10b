"""The floor in memory: the same rows in lists and dicts, contents encoded."""

from collections.abc import Sequence
from typing import Any

from tests.benchmarks.floor import Found, Rows


class MemoryLink:
    taken = KeyError

    def __init__(self) -> None:
        self._commands: list[tuple[Any, ...]] = []
        self._owners: dict[bytes, str] = {}
        self._events: dict[str, list[tuple[Any, ...]]] = {}
        self._snapshots: dict[str, tuple[Any, ...]] = {}

    def load(self, digest: bytes) -> Found | None:
        owner = self._owners.get(digest)
        if owner is None:
            return None
        row = self._snapshots.get(owner)
        snapshot = None if row is None else (row[2], row[9])
        after = 0 if snapshot is None else snapshot[1]
        return Found(owner, snapshot, [(e[5], e[7]) for e in self._events[owner][after:]])

    def load_many(self, digests: Sequence[bytes]) -> dict[bytes, Found]:
        loaded = ((digest, self.load(digest)) for digest in dict.fromkeys(digests))
        return {digest: found for digest, found in loaded if found is not None}

    def append(self, rows: Rows) -> None:
        self._commands += rows.commands
        for mapping in rows.mappings:
            self._owners[mapping[1]] = mapping[3]
        for event in rows.events:
            self._events.setdefault(event[1], []).append(event)
        for snapshot in rows.snapshots:
            self._snapshots[snapshot[1]] = snapshot
