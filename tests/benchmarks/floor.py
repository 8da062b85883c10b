"""The floor: the least that does the same durable work, with the raw driver and no library.

The same tables, indexes and triggers, as `domain.metadata.create_all` makes them, and the same
rows in them: per command one of `commands`, one of `events`, with the first one of `id_map`, with
every tenth one of `snapshots`, and on SQLite one of `spry_transactions`. A connection is held,
statements are prepared, contents are msgspec's. One load (whose identifiers, newest snapshot,
events after it), the application's own `handle` and `apply`, one atomic append, and again where
another writer was first. What it leaves out: any check, any copy, other origins, old versions.
"""

import hashlib
import itertools
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

import msgspec

import spry_sqla as spry
from spry_sqla.identity import actor_id
from tests.benchmarks.game import CreatePlayer, Hit, PlayerCreated, PlayerHit, State

ORIGIN = "main"
_TICKS_TO_1970 = 0x01B21DD213814000
_encode: Callable[[object], bytes] = msgspec.json.Encoder().encode
_decoders = {cls.__name__: msgspec.json.Decoder(cls).decode for cls in (PlayerCreated, PlayerHit)}


class Found(NamedTuple):
    """A load: the actor's id, the newest snapshot as (state, version), (type, content) after it."""

    actor_id: str
    snapshot: tuple[str, int] | None
    events: Sequence[tuple[str, str]]


class Rows(NamedTuple):
    """An append: a tuple of columns for each row of each table."""

    commands: list[tuple[Any, ...]]
    events: list[tuple[Any, ...]]
    mappings: list[tuple[Any, ...]]
    snapshots: list[tuple[Any, ...]]


class Link(Protocol):
    """The raw statements on one connection of one driver."""

    @property
    def taken(self) -> type[Exception]:
        """What the driver raises when another writer was first."""
        ...

    def load(self, digest: bytes) -> Found | None: ...
    def load_many(self, digests: Sequence[bytes]) -> dict[bytes, Found]: ...
    def append(self, rows: Rows) -> None: ...


class Floor:
    """Handle and fetch on one connection; a thread has its own."""

    def __init__(self, domain: spry.Domain, link: Link, actor: type[State]) -> None:
        self._link = link
        self._kind = domain.actor(actor)
        self._fingerprint = self._kind.fingerprint
        self._decode_state = msgspec.json.Decoder(actor).decode
        self._ticks = itertools.count(time.time_ns() // 100 + _TICKS_TO_1970)
        self._tail = f"{hash(id(self)) % (1 << 60) | 1 << 63:016x}"
        meta = self._kind.meta
        self._every = meta.snapshot_frequency if meta.snapshot_during_write else 0

    def handle(self, command: CreatePlayer | Hit) -> None:
        text = _encode(command.identifiers())
        digest = hashlib.sha256(text).digest()
        while True:
            found = self._link.load(digest)
            rows = Rows([], [], [], [])
            self._decide(command, text, digest, self._state(found), found, rows)
            try:
                self._link.append(rows)
                return
            except self._link.taken:
                continue

    def handle_many(self, commands: Sequence[CreatePlayer | Hit]) -> None:
        texts = [_encode(command.identifiers()) for command in commands]
        digests = [hashlib.sha256(text).digest() for text in texts]
        found = self._link.load_many(digests)
        states: dict[bytes, tuple[State, int, int]] = {}
        rows = Rows([], [], [], [])
        for command, text, digest in zip(commands, texts, digests, strict=True):
            loaded = found.get(digest)
            before = states.get(digest) or self._state(loaded)
            states[digest] = self._decide(command, text, digest, before, loaded, rows)
        self._link.append(rows)

    def fetch(self, name: str) -> State:
        digest = hashlib.sha256(_encode({"name": name})).digest()
        return self._state(self._link.load(digest))[0]

    def _state(self, found: Found | None) -> tuple[State, int, int]:
        """State, version and version of the snapshot that it was made from."""
        if found is None:
            return self._kind.cls(), 0, 0
        if found.snapshot is None:
            state, version = self._kind.cls(), 0
        else:
            state, version = self._decode_state(found.snapshot[0]), found.snapshot[1]
        for type_, content in found.events:
            _decoders[type_](content).apply(state)
        return state, version + len(found.events), version

    def _decide(
        self,
        command: CreatePlayer | Hit,
        text: bytes,
        digest: bytes,
        before: tuple[State, int, int],
        found: Found | None,
        rows: Rows,
    ) -> tuple[State, int, int]:
        state, version, covered = before
        kind, number = type(command).__name__, version
        now = datetime.now(UTC).isoformat(" ", "microseconds")
        actor = actor_id(self._kind.name, text.decode()) if found is None else found.actor_id
        command_id, event_id = self._id(), ""
        for event in command.handle(state):
            if isinstance(event, Exception):
                return before
            event.apply(state)
            number += 1
            event_id = self._id()
            rows.events.append(
                (event_id, actor, ORIGIN, number, None, type(event).__name__, 1,
                 _encode(event).decode(), command_id, kind, self._kind.name, actor, version, now)
            )  # fmt: skip
        seen = f'{{"{ORIGIN}":{version}}}' if version else "{}"
        rows.commands.append(
            (command_id, kind, 1, _encode(command).decode(), None, None, ORIGIN, actor, version,
             seen, now, now)
        )  # fmt: skip
        if version == 0:
            rows.mappings.append(
                (self._id(), digest, text.decode(), actor, ORIGIN, command_id, now)
            )
        if self._every and number >= covered + self._every:
            rows.snapshots.append(
                (self._id(), actor, _encode(state).decode(), self._fingerprint,
                 f'{{"{ORIGIN}":{number}}}', None, None, command_id, event_id, number, now)
            )  # fmt: skip
            covered = number
        return state, number, covered

    def _id(self) -> str:
        tick = f"{next(self._ticks):015x}"
        return f"{tick[:12]}6{tick[12:]}{self._tail}"
