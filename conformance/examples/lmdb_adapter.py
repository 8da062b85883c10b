"""spry_sqla on LMDB: a whole storage adapter, to be read before you write one of your own.

A file of LMDB is one sorted map of bytes. Each record is a value in it, under a key that begins
with what kind it is of, and goes on with what it is asked for by: so every question that the
contract asks is one short range of keys. Threads and processes may share a file; one transaction
writes at a time.

    storage = AdapterStorage(LmdbAdapter("game.db"), domain)
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from itertools import islice

import lmdb
import msgspec

import spry_sqla as spry
from spry_sqla import adapters as contract
from spry_sqla.adapters import CommandRecord, EventRecord, MappingRecord, SnapshotRecord

FORMAT = b"1"
"""How keys and values are made; who changes that changes this."""

WAIT = 30.0
"""Seconds that a writer waits for others of its process."""

END = b"\xff" * 99
"""Sorts after whatever a key goes on with."""

encode = msgspec.msgpack.encode
command_of = msgspec.msgpack.Decoder(CommandRecord).decode
event_of = msgspec.msgpack.Decoder(EventRecord).decode
mapping_of = msgspec.msgpack.Decoder(MappingRecord).decode
snapshot_of = msgspec.msgpack.Decoder(SnapshotRecord).decode


def hashed(text: str) -> bytes:
    """What stands for a text in a key, which has room for 511 bytes."""
    return blake2b(text.encode(), digest_size=16).digest()


def stream(actor_id: str, origin: str, sequence: int | None = None) -> bytes:
    """The key of an event, or the beginning that those of one stream share."""
    # Big-endian, so that keys sort as sequences do.
    place = b"" if sequence is None else sequence.to_bytes(8, "big")
    return actor_id.encode() + hashed(origin) + place


class Part:
    """The keys of one kind of records, of one actor type, within a transaction."""

    def __init__(self, unit: "LmdbUnit", actor: str, kind: str) -> None:
        self._unit = unit
        self._prefix = hashed(f"{kind} of {actor}")

    def claim(self, key: bytes, value: bytes) -> None:
        """Put a value under a key. Raises KeyTaken."""
        with self._unit.errors():
            if not self._unit.transaction.put(self._prefix + key, value, overwrite=False):
                raise contract.KeyTaken

    def get(self, key: bytes) -> bytes | None:
        """The value of a key."""
        self._unit.adapter.reads += 1
        with self._unit.errors():
            return self._unit.transaction.get(self._prefix + key)

    def each(
        self, beginning: bytes, start: bytes = b"", *, back: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """(key, value) of the keys with a beginning, in order, from `start` behind that.

        With `back` in the opposite order: from the last that goes on with `start`, or less.
        """
        beginning = self._prefix + beginning
        with self._unit.errors(), self._unit.transaction.cursor() as cursor:
            found = cursor.set_range(beginning + start + END * back)
            if back:
                found = cursor.prev() if found else cursor.last()
            while found and cursor.key().startswith(beginning):
                self._unit.adapter.reads += 1
                yield cursor.key().removeprefix(self._prefix), cursor.value()
                found = cursor.prev() if back else cursor.next()

    def ends(self, beginning: bytes = b"") -> list[tuple[bytes, bytes]]:
        """The first and the last of those with a beginning; nothing where there is none."""
        backwards = self.each(beginning, back=True)
        return [*islice(self.each(beginning), 1), *islice(backwards, 1)]


# The four stores ---------------------------------------------------------------------------------


class Commands:
    """By id: records. By idempotency key and origin: ids."""

    def __init__(self, unit: "LmdbUnit", actor: str) -> None:
        self._records = Part(unit, actor, "commands")
        self._keys = Part(unit, actor, "idempotency keys")

    def append(self, commands: Sequence[CommandRecord]) -> None:
        for each in commands:
            self._records.claim(each.id.encode(), encode(each))
            if each.idempotency_key is not None:
                key = hashed(each.idempotency_key) + hashed(each.origin)
                self._keys.claim(key, each.id.encode())

    def with_keys(self, keys: Sequence[str]) -> dict[str, str]:
        used = {key: [value for _, value in self._keys.each(hashed(key))] for key in keys}
        return {key: min(ids).decode() for key, ids in used.items() if ids}

    def read(self, ids: Sequence[str]) -> list[CommandRecord]:
        found = (self._records.get(command_id.encode()) for command_id in ids)
        return [command_of(value) for value in found if value is not None]


class Events:
    """By actor, origin and sequence: records. The ids that there are."""

    def __init__(self, unit: "LmdbUnit", actor: str) -> None:
        self.records = Part(unit, actor, "events")
        self.ids = Part(unit, actor, "ids of events")

    def append(self, events: Sequence[EventRecord]) -> None:
        for each in events:
            self.ids.claim(each.id.encode(), b"")
            self.records.claim(stream(each.actor_id, each.origin, each.sequence), encode(each))

    def head(self, actor_id: str, origin: str) -> contract.Head:
        ends = self.records.ends(actor_id.encode())
        if not ends:
            return contract.Head(None, 0, True)
        if not all(key.startswith(stream(actor_id, origin)) for key, _ in ends):
            return contract.Head(None, 0, False)
        newest = event_of(ends[-1][1])
        return contract.Head(newest.id, newest.sequence, True)

    def run(self, actor_id: str, origin: str, sequence: int, limit: int) -> list[tuple[str, str]]:
        return [
            (contract.tag_of(event.type, event.type_version), event.content)
            for event in self.rows_after(actor_id, origin, sequence, limit)
            if event.seen is None
        ]

    def origins(self, actor_id: str) -> list[str]:
        found: list[str] = []
        start = b""
        while row := next(self.records.each(actor_id.encode(), start), None):
            found.append(event_of(row[1]).origin)
            start = hashed(found[-1]) + END
        return found

    def after(
        self, actor_id: str, origin: str, sequence: int, limit: int
    ) -> list[contract.StoredEvent]:
        rows = self.rows_after(actor_id, origin, sequence, limit)
        fields = contract.StoredEvent._fields
        return [contract.StoredEvent(*(getattr(row, name) for name in fields)) for row in rows]

    def rows_after(
        self, actor_id: str, origin: str, sequence: int, limit: int
    ) -> list[EventRecord]:
        start = (sequence + 1).to_bytes(8, "big")
        rows = self.records.each(stream(actor_id, origin), start)
        return [event_of(value) for _, value in islice(rows, limit)]


class Maps:
    """By id: records. By digest and origin: owners. By actor and id: identifiers."""

    def __init__(self, unit: "LmdbUnit", actor: str) -> None:
        self._records = Part(unit, actor, "mappings")
        self._owners = Part(unit, actor, "owners of identifiers")
        self._names = Part(unit, actor, "identifiers of actors")
        self._links = Part(unit, actor, "links")

    def append(self, mappings: Sequence[MappingRecord]) -> None:
        for each in mappings:
            self._records.claim(each.id.encode(), encode(each))
            self._owners.claim(each.digest + hashed(each.origin), encode(each))
            self._names.claim(f"{each.actor_id}{each.id}".encode(), each.identifiers.encode())

    def link(self, links: Sequence[contract.LinkRecord]) -> None:
        for each in links:
            self._links.claim(each.id.encode(), encode(each))

    def owners(self, digest: bytes) -> list[tuple[str, str, str]]:
        found = (mapping_of(value) for _, value in self._owners.each(digest))
        return [(each.id, each.actor_id, each.origin) for each in found]

    def last(self) -> str:
        ends = self._records.ends()
        return ends[-1][0].decode() if ends else contract.NO_ID

    def page(self, after: str, until: str, limit: int) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        for key, value in self._records.each(b"", after.encode() + b"\0"):
            if len(found) == limit or key > until.encode():
                break
            actor_id = mapping_of(value).actor_id.encode()
            (first, _), (_, newest) = self._names.ends(actor_id)
            if first == actor_id + key:
                found.append((key.decode(), newest.decode()))
        return found


class Snapshots:
    """By actor, last event and id: records. The ids that there are."""

    def __init__(self, unit: "LmdbUnit", actor: str, events: Events) -> None:
        self._records = Part(unit, actor, "snapshots")
        self._ids = Part(unit, actor, "ids of snapshots")
        self._events = events

    def append(self, snapshots: Sequence[SnapshotRecord]) -> None:
        for each in snapshots:
            self._ids.claim(each.id.encode(), b"")
            key = f"{each.actor_id}{each.last_event}{each.id}".encode()
            self._records.claim(key, encode(each))

    def newest(
        self,
        actor_id: str,
        fingerprint: str,
        origins: Sequence[str],
        version: int | None,
        until: str | None,
    ) -> contract.StoredSnapshot | None:
        fields = contract.StoredSnapshot._fields
        for _, value in self._records.each(actor_id.encode(), (until or "").encode(), back=True):
            row = snapshot_of(value)
            found = contract.StoredSnapshot(*(getattr(row, name) for name in fields))
            if (
                row.fingerprint == fingerprint
                and (version is None or row.version <= version)
                and self._events.ids.get(row.last_event.encode()) is not None
                and not self._is_divergent(actor_id, origins, found)
            ):
                return found
        return None

    def _is_divergent(
        self, actor_id: str, origins: Sequence[str], found: contract.StoredSnapshot
    ) -> bool:
        vector = contract.vector_of(found)
        keys = (stream(actor_id, origin, vector.get(origin, 0) + 1) for origin in origins)
        following = (self._events.records.get(key) for key in keys)
        return any(value and event_of(value).id < found.last_event for value in following)


class LmdbStores:
    """The four stores of an actor type."""

    def __init__(self, unit: "LmdbUnit", actor: str) -> None:
        self.commands = Commands(unit, actor)
        self.events = Events(unit, actor)
        self.maps = Maps(unit, actor)
        self.snapshots = Snapshots(unit, actor, self.events)


# Units of work -----------------------------------------------------------------------------------


class LmdbUnit:
    """A transaction of LMDB, or a child of one; `end` is told when it has ended."""

    def __init__(
        self,
        adapter: "LmdbAdapter",
        environment: "lmdb.Environment",
        transaction: "lmdb.Transaction[bytes]",
        end: Callable[[], None] = lambda: None,
    ) -> None:
        self.adapter, self.transaction, self.errors = adapter, transaction, adapter.errors
        self._environment, self._end = environment, end

    def stores(self, actor: str) -> LmdbStores:
        """The stores of an actor type; nothing must be made for them."""
        return LmdbStores(self, actor)

    def nested(self) -> "LmdbUnit":
        """A child; this one rests until it has ended."""
        with self.errors():
            child = self._environment.begin(write=True, parent=self.transaction)
        return LmdbUnit(self.adapter, self._environment, child)

    def commit(self) -> None:
        """Commit, and wait for the disk. Raises StorageUnavailable, StorageFailure."""
        try:
            with self.errors():
                self.transaction.commit()
        finally:
            self._end()

    def rollback(self) -> None:
        """Abort."""
        try:
            self.transaction.abort()
        finally:
            self._end()


class LmdbAdapter(contract.Adapter):
    """Records in a file of LMDB, which is made where there is none.

    A process has one adapter for a file; its threads share it, and it goes on after a fork, if no
    thread was within a unit of work. Writers wait for those of other processes as long as they
    take. `map_size` is how many bytes the file may come to have, and costs nothing until they are
    used. `reads` counts the records that were looked at.
    """

    def __init__(self, path: str | os.PathLike[str], *, map_size: int = 2**40) -> None:
        self.reads = 0
        self._path, self._map_size = os.fspath(path), map_size
        self._environment: lmdb.Environment | None = None
        self._pid = 0
        self._opening, self._turn = threading.Lock(), threading.Lock()
        self._writer: int | None = None

    def begin(self, *, write: bool) -> LmdbUnit:
        """Begin a transaction. Raises StorageUnavailable, StorageFailure."""
        with self.errors():
            environment = self._opened()
            if not write:
                try:
                    return LmdbUnit(self, environment, environment.begin())
                except lmdb.ReadersFullError:
                    environment.reader_check()  # killed processes may have left some
                    return LmdbUnit(self, environment, environment.begin())
            self._await_turn()
            try:
                begun = environment.begin(write=True)
            except BaseException:
                self._end_turn()
                raise
            return LmdbUnit(self, environment, begun, self._end_turn)

    def check(self) -> None:
        """Open the file. Raises StorageUnavailable, StorageFailure, TablesOutdated."""
        with self.errors():
            unit = self.begin(write=False)
            found = unit.transaction.get(b"format")
            unit.rollback()
            if found is None:  # a new file
                unit = self.begin(write=True)
                unit.transaction.put(b"format", FORMAT, overwrite=False)
                found = unit.transaction.get(b"format")
                unit.commit()
        if found != FORMAT:
            raise spry.TablesOutdated(f"{self._path} is of another version of this adapter")

    def close(self) -> None:
        """Close the file; the next unit of work opens it again."""
        with self._opening:
            if self._environment is not None:
                self._environment.close()
                self._environment = None

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise errors of LMDB as those of the contract: those that may pass, and those that stay.

        Raises StorageUnavailable, StorageFailure.
        """
        try:
            yield
        except LASTING as error:
            raise spry.StorageFailure(f"LMDB cannot work on {self._path}: {error}") from error
        except lmdb.Error as error:
            raise spry.StorageUnavailable(f"{self._path} is out of reach: {error}") from error

    def _opened(self) -> "lmdb.Environment":
        with self._opening:
            if self._environment is not None and self._pid != os.getpid():
                self._environment.close()  # it is the parent's, where it stays open
                self._environment = None
            if self._environment is None:
                self._environment = lmdb.open(
                    self._path, subdir=False, map_size=self._map_size, max_readers=1_024
                )
                self._pid = os.getpid()
            return self._environment

    def _await_turn(self) -> None:
        """Wait until others of this process no longer write: LMDB would wait for ever."""
        if self._writer == threading.get_ident() or not self._turn.acquire(timeout=WAIT):
            raise spry.StorageUnavailable(
                f"{self._path} is locked by a transaction that the application has open around "
                "this call; use the repositories of the transaction"
            )
        self._writer = threading.get_ident()

    def _end_turn(self) -> None:
        self._writer = None
        self._turn.release()


LASTING = (
    lmdb.CorruptedError,
    lmdb.DiskError,
    lmdb.InvalidError,
    lmdb.MapFullError,
    lmdb.MemoryError,
    lmdb.PanicError,
    lmdb.ReadonlyError,
    lmdb.VersionMismatchError,
)
"""What will not pass by itself."""
