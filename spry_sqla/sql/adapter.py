"""The four stores on one connection, and every operation on them; drivers' errors end here.

An operation is a function of a connection checked out of a pool, plain or (under `run_sync`)
asynchronous: SQLAlchemy gives both one shape. What a connection was, it is again afterwards.
"""

from collections.abc import Sequence
from operator import itemgetter
from types import ModuleType
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.pool import PoolProxiedConnection

from spry_sqla.domain import Domain
from spry_sqla.errors import (
    StorageError,
    StorageFailure,
    StorageUnavailable,
    TablesMissing,
    TablesOutdated,
)
from spry_sqla.operations import (
    NO_ID,
    Append,
    Appended,
    Conflict,
    Head,
    Load,
    Read,
    StoredSnapshot,
    Unavailable,
)
from spry_sqla.records import (
    CommandRecord,
    EventRecord,
    LinkRecord,
    MappingRecord,
    SnapshotRecord,
    StoredEvent,
)
from spry_sqla.schema import FORMAT
from spry_sqla.sql import loading, postgresql, sqlite, statements
from spry_sqla.sql.faults import Fault
from spry_sqla.sql.statements import Build, SchemaMap, Statement, Statements, bounds
from spry_sqla.stores import KeyTaken, append, read

_FLAVORS: dict[str, ModuleType] = {"postgresql": postgresql, "sqlite": sqlite}


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
        rows = self._rows(statements.commands_with_keys, keys=_json(keys))
        return dict(sorted(rows, key=itemgetter(1), reverse=True))

    def read(self, ids: Sequence[str]) -> list[CommandRecord]:
        rows = self._rows(statements.commands_by_id, ids=_json(ids))
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
    ) -> Sequence[tuple[Any, ...]]:
        if not limit:
            return ()
        return self._rows(
            statements.run, actor_id=actor_id, origin=origin, sequence=sequence, limit=limit
        )

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
            "origins": _json(origins) if diverging else None,
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


class SqlAdapter:
    """Every operation of a domain, on connections of one dialect.

    `composed` answers them from the four stores alone, where the dialect has fused statements:
    slower, and the same; it is how the two are checked against each other. `schemas` is the
    engine's `schema_translate_map`.

    Raises StorageError for a dialect that is not supported.
    """

    def __init__(
        self,
        domain: Domain,
        dialect: sa.Dialect,
        *,
        schemas: SchemaMap = None,
        composed: bool = False,
    ) -> None:
        flavor = _FLAVORS.get(dialect.name)
        if flavor is None:
            raise StorageError(
                f"the database {dialect.name!r} is not supported; use PostgreSQL or SQLite"
            )
        self._domain = domain
        self._dialect = dialect
        self._schemas = schemas
        self._format = domain.shared.format
        self._flavor: Any = flavor
        self._fused = flavor is postgresql and not composed
        self._statements = {
            kind.name: Statements(kind.tables, domain.shared, dialect, self._flavor, schemas)
            for kind in domain.actors
        }

    def perform(self, connection: PoolProxiedConnection, operation: Read | Append) -> Any:
        """Answer one operation, all of it, on a connection with no transaction open.

        Answers Conflict or Unavailable where that is the outcome; raises StorageFailure.
        """
        try:
            if isinstance(operation, Append):
                return self._append(connection, operation)
            return self._read(connection, operation)
        except KeyTaken:
            return Conflict()
        except Exception as error:  # noqa: BLE001  (sorted out there, and raised again)
            return self._outcome(connection, operation, error)

    def check(self, connection: PoolProxiedConnection) -> None:
        """See that every table is there, with its columns, in the format that this code reads.

        Raises TablesMissing, TablesOutdated, StorageUnavailable, StorageFailure.
        """
        try:
            with self._flavor.reading(connection):
                for table in self._tables():
                    self._check_table(connection, table)
                (version,) = self._one(connection, sa.select(sa.func.max(self._format.c.version)))
        except Exception as error:
            fault = self._fault(connection, error)
            if fault is None:
                raise
            raise self._failure(fault, error) from error
        if version != FORMAT:
            age, mend = (
                ("newer", "deploy the version of spry_sqla that made them")
                if version is not None and version > FORMAT
                else ("older", "upgrade them with Alembic")
            )
            raise TablesOutdated(
                f"{self._format.fullname} says that the tables are of format {version}, {age} "
                f"than the format {FORMAT} that this version of spry_sqla reads; {mend}"
            )

    def _tables(self) -> list[sa.Table]:
        shared = self._domain.shared
        tables = [shared.format, shared.epochs]
        if not self._flavor.generated(shared.epochs):
            tables.append(shared.transactions)
        for kind in self._domain.actors:
            of_kind = kind.tables
            tables += (of_kind.commands, of_kind.events, of_kind.id_map)
            tables += (of_kind.links, of_kind.snapshots)
        return tables

    def _check_table(self, connection: PoolProxiedConnection, table: sa.Table) -> None:
        try:
            self._one(connection, sa.select(*table.c).where(sa.false()))
        except Exception as error:
            fault = self._fault(connection, error)
            if fault is Fault.NO_TABLE:
                raise _tables_missing(f"the database has no table {table.fullname!r}") from None
            if fault is Fault.NO_COLUMN:
                raise _tables_outdated(f"the table {table.fullname!r} lacks") from error
            raise

    def _one(self, connection: PoolProxiedConnection, query: sa.Select[Any]) -> Any:
        statement = Statement(query, self._dialect, self._schemas)
        cursor = connection.cursor()
        try:
            cursor.execute(statement.text, statement.parameters({}))
            return cursor.fetchone()
        finally:
            cursor.close()

    def _read(self, connection: PoolProxiedConnection, operation: Read) -> Any:
        of_actor = self._statements[operation.actor]
        if self._flavor is sqlite:
            # Without the context manager, whose cost is that of a statement here.
            cursor = connection.cursor()
            try:
                return read(SqlStores(cursor, of_actor), operation)
            finally:
                cursor.close()
        with self._flavor.reading(connection):
            cursor = connection.cursor()
            try:
                if self._fused and isinstance(operation, Load):
                    return loading.load(cursor, of_actor, operation)
                return read(SqlStores(cursor, of_actor), operation)
            finally:
                cursor.close()

    def _append(self, connection: PoolProxiedConnection, operation: Append) -> Appended:
        of_actor = self._statements[operation.actor]
        if self._fused:
            with self._flavor.reading(connection):
                cursor = connection.cursor()
                try:
                    _append_fused(cursor, of_actor, operation)
                finally:
                    cursor.close()
            return Appended()
        with self._flavor.writing(connection):
            cursor = connection.cursor()
            try:
                append(SqlStores(cursor, of_actor), operation)
            finally:
                cursor.close()
        return Appended()

    def _outcome(
        self, connection: PoolProxiedConnection, operation: Read | Append, error: Exception
    ) -> Conflict | Unavailable:
        fault = self._fault(connection, error)
        if fault is None:
            raise error
        if fault in (Fault.TAKEN, Fault.DEADLOCK) and isinstance(operation, Append):
            return Conflict()
        failure = self._failure(fault, error, operation)
        if isinstance(failure, StorageUnavailable):
            if fault is Fault.LOST:
                connection.invalidate(error)
            failure.__cause__ = error
            return Unavailable(failure, nothing_stored=fault is not Fault.LOST)
        raise failure from (None if self._flavor.quotes_rows(error) else error)

    def _fault(self, connection: PoolProxiedConnection, error: Exception) -> Fault | None:
        """The meaning of an error; None where it is no driver's."""
        dbapi: Any = self._dialect.dbapi
        if not isinstance(error, dbapi.Error):
            return None
        driver: Any = connection.dbapi_connection
        if driver is None or self._dialect.is_disconnect(error, driver, None):
            return Fault.LOST
        fault: Fault = self._flavor.fault_of(error)
        return fault

    def _failure(
        self, fault: Fault, error: Exception, operation: Read | Append | None = None
    ) -> StorageError:
        what = self._flavor.describe(error)
        of_actor = "" if operation is None else f" of the actor {operation.actor!r}"
        match fault:
            case Fault.LOST:
                return unavailable(what)
            case Fault.BUSY | Fault.DEADLOCK:
                return StorageUnavailable(
                    "the database stayed locked by others, or by a transaction that the "
                    f"application has open around this call ({what})"
                )
            case Fault.NO_TABLE:
                return _tables_missing(f"the tables{of_actor} are not all there")
            case Fault.NO_COLUMN:
                return _tables_outdated(f"a table{of_actor} lacks")
            case _:
                refused = (
                    "the work, and nothing was stored"
                    if isinstance(operation, Append)
                    else "to read"
                )
                said = (
                    "log (it quotes the row)" if self._flavor.quotes_rows(error) else "cause below"
                )
                return StorageFailure(
                    f"the database refused {refused} ({what}); see the {said} for what it said"
                )


def unavailable(what: str) -> StorageUnavailable:
    """The error for a database that cannot be reached."""
    return StorageUnavailable(
        f"the database cannot be reached ({what}); see that it runs, and that the engine's URL "
        "and its credentials are right"
    )


def exhausted() -> StorageUnavailable:
    """The error for a pool whose connections are all in use."""
    return StorageUnavailable(
        "no connection of the engine's pool became free in time; give connections back sooner, or "
        "give the engine a larger pool (pool_size, max_overflow, pool_timeout)"
    )


def _tables_missing(what: str) -> TablesMissing:
    return TablesMissing(
        f"{what}; make the tables with domain.metadata.create_all(engine), or with Alembic"
    )


def _tables_outdated(what: str) -> TablesOutdated:
    return TablesOutdated(
        f"{what} a column that this version of spry_sqla needs; upgrade it with Alembic"
    )


def _append_fused(cursor: Any, of_actor: Statements, operation: Append) -> None:
    rows = {part: records for part in postgresql.PARTS if (records := getattr(operation, part))}
    parts = tuple(rows)
    statement = of_actor.special(
        ("append", parts), lambda: postgresql.append(of_actor.tables, parts)
    )
    cursor.execute(
        statement.text,
        statement.parameters({part: _json(records) for part, records in rows.items()}),
    )


def _json(values: Any) -> str:
    return msgspec.json.encode(values).decode()
