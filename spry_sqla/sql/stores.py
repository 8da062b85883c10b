"""The four stores of an actor type on a driver's cursor: each method is one statement."""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import msgspec

from spry_sqla.operations import NO_ID, Head, StoredSnapshot
from spry_sqla.records import (
    CommandRecord,
    EventRecord,
    LinkRecord,
    MappingRecord,
    SnapshotRecord,
    StoredEvent,
)
from spry_sqla.sql import statements
from spry_sqla.sql.statements import Build, Statements, bounds, json_text


class _Store:
    """Runs an actor type's statements on one cursor."""

    __slots__ = ("_cursor", "_statements")

    def __init__(self, cursor: Any, of_actor: Statements) -> None:
        self._cursor = cursor
        self._statements = of_actor

    def _rows(self, build: Build, **values: Any) -> list[tuple[Any, ...]]:
        statement = self._statements[build]
        self._cursor.execute(statement.text, statement.parameters(values))
        rows: list[tuple[Any, ...]] = self._cursor.fetchall()
        return rows

    def _insert(self, build: Build, records: Sequence[msgspec.Struct], **more: Any) -> None:
        statement = self._statements[build]
        rows = [statement.row(record, **more) for record in records]
        if len(rows) == 1:
            self._cursor.execute(statement.text, rows[0])
        else:
            self._cursor.executemany(statement.text, rows)


class SqlCommands(_Store):
    """The causal log, in `<actor>_commands`."""

    __slots__ = ()

    def append(self, commands: Sequence[CommandRecord]) -> None:
        self._insert(statements.insert_commands, commands)

    def with_keys(self, keys: Sequence[str]) -> dict[str, str]:
        if not keys:
            return {}
        rows = self._rows(statements.commands_with_keys, keys=json_text(keys))
        return dict(sorted(rows, key=itemgetter(1), reverse=True))

    def read(self, ids: Sequence[str]) -> list[CommandRecord]:
        rows = self._rows(statements.commands_by_id, ids=json_text(ids))
        return [CommandRecord(*row) for row in rows]


class SqlEvents(_Store):
    """The streams, in `<actor>_events`."""

    __slots__ = ()

    def append(self, events: Sequence[EventRecord]) -> None:
        more = {}
        if not self._statements.flavor.generated(self._statements.tables.events):
            self._cursor.execute(self._statements.next_transaction.text)
            more["transaction"] = self._cursor.lastrowid
        self._insert(statements.insert_events, events, **more)

    def head(self, actor_id: str, origin: str) -> Head:
        rows = self._rows(statements.head, actor_id=actor_id)
        if not rows:
            return Head(None, 0, True)
        ((head_id, sequence, last, first),) = rows
        return Head(head_id, sequence, True) if first == last == origin else Head(None, 0, False)

    def run(
        self, actor_id: str, origin: str, sequence: int, limit: int
    ) -> Sequence[tuple[str, str]]:
        if not limit:
            return ()
        rows: Any = self._rows(
            statements.run, actor_id=actor_id, origin=origin, sequence=sequence, limit=limit
        )
        return rows  # type: ignore[no-any-return]

    def origins(self, actor_id: str) -> list[str]:
        return [origin for (origin,) in self._rows(statements.origins, actor_id=actor_id)]

    def after(self, actor_id: str, origin: str, sequence: int, limit: int) -> list[StoredEvent]:
        rows = self._rows(
            statements.events_after,
            actor_id=actor_id,
            origin=origin,
            sequence=sequence,
            limit=limit,
        )
        return list(map(StoredEvent._make, rows))

    def rows_after(
        self, actor_id: str, origin: str, sequence: int, limit: int
    ) -> list[EventRecord]:
        rows = self._rows(
            statements.event_rows_after,
            actor_id=actor_id,
            origin=origin,
            sequence=sequence,
            limit=limit,
        )
        return [EventRecord(*row) for row in rows]


class SqlMaps(_Store):
    """Identifiers to actors, in `<actor>_id_map` and `<actor>_links`."""

    __slots__ = ()

    def append(self, mappings: Sequence[MappingRecord]) -> None:
        self._insert(statements.insert_mappings, mappings)

    def link(self, links: Sequence[LinkRecord]) -> None:
        self._insert(statements.insert_links, links)

    def owners(self, digest: bytes) -> list[tuple[str, str, str]]:
        return self._rows(statements.owners, digest=digest)

    def last(self) -> str:
        rows = self._rows(statements.last_mapping)
        return rows[0][0] if rows else NO_ID

    def page(self, after: str, until: str, limit: int) -> list[tuple[str, str]]:
        return self._rows(statements.actors, after=after, until=until, limit=limit)


class SqlSnapshots(_Store):
    """Snapshots, in `<actor>_snapshots`."""

    __slots__ = ()

    def append(self, snapshots: Sequence[SnapshotRecord]) -> None:
        self._insert(statements.insert_snapshots, snapshots)

    def newest(
        self,
        actor_id: str,
        fingerprint: str,
        origins: Sequence[str],
        version: int | None,
        until: str | None,
    ) -> StoredSnapshot | None:
        bounded, diverging = version is not None or until is not None, len(origins) > 1
        of_actor = self._statements
        statement = of_actor.special(
            ("newest_snapshot", bounded, diverging),
            lambda: statements.newest_snapshot(
                of_actor.tables, of_actor.flavor, bounded=bounded, diverging=diverging
            ),
        )
        values = {
            "actor_id": actor_id,
            "fingerprint": fingerprint,
            "origins": json_text(origins) if diverging else None,
            **bounds(version, until),
        }
        self._cursor.execute(statement.text, statement.parameters(values))
        row = self._cursor.fetchone()
        return None if row is None else StoredSnapshot._make(row)


class SqlStores:
    """The four stores of one actor type, on one cursor."""

    __slots__ = ("commands", "events", "maps", "snapshots")

    def __init__(self, cursor: Any, of_actor: Statements) -> None:
        self.commands = SqlCommands(cursor, of_actor)
        self.events = SqlEvents(cursor, of_actor)
        self.maps = SqlMaps(cursor, of_actor)
        self.snapshots = SqlSnapshots(cursor, of_actor)
