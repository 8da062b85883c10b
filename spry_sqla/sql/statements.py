"""Every statement of the four stores, as a SQLAlchemy Core construct of an actor's tables.

One function per statement; where the databases differ, the `Flavor` says how. A statement is
compiled once per actor type and dialect, and its text runs on the driver's own cursor: measured,
`Connection.execute` costs more than the statement. PostgreSQL adds fused ones of its own.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from operator import itemgetter
from typing import Any, Protocol, TypeAlias

import msgspec
import sqlalchemy as sa

from spry_sqla.schema import ActorTables, SharedTables
from spry_sqla.schema.types import UtcDateTime, UtcNow

Build: TypeAlias = Callable[[ActorTables, "Flavor"], sa.ClauseElement]


class Flavor(Protocol):
    """What differs between databases; `postgresql` and `sqlite` are modules of this shape."""

    def hex_id(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """An id as 32 hexadecimal digits."""
        ...

    def utc(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """A time as text, as `records` has it."""
        ...

    def each(self, parameter: str) -> sa.FromClause:
        """The texts of a JSON array parameter, as rows with one column `value`."""
        ...

    def at(
        self, vector: sa.ColumnElement[Any], origin: sa.ColumnElement[Any]
    ) -> sa.ColumnElement[int]:
        """The sequence of an origin in a vector column; 0 where it has none, or is unreadable."""
        ...

    def generated(self, events: sa.Table) -> set[str]:
        """Names of the columns of events that the database fills."""
        ...


SchemaMap: TypeAlias = Mapping[str | None, str | None] | None
"""An engine's `schema_translate_map`."""


class Statement:
    """A compiled statement: its text for the driver, and the order of its parameters."""

    __slots__ = ("_constants", "_order", "_take", "text")

    def __init__(
        self, construct: sa.ClauseElement, dialect: sa.Dialect, schemas: SchemaMap = None
    ) -> None:
        compiled = construct.compile(
            dialect=dialect,
            schema_translate_map=schemas,
            render_schema_translate=schemas is not None,
        )
        self.text = str(compiled)
        self._order: Sequence[str] | None = getattr(compiled, "positiontup", None)
        self._take = _taker(self._order or ())
        # Such as the OFFSET 0 that SQLite's dialect adds to a LIMIT.
        self._constants = {k: v for k, v in compiled.params.items() if v is not None}

    def parameters(self, values: Mapping[str, Any]) -> Any:
        """Parameters in the form that the driver wants."""
        if self._constants:
            values = {**self._constants, **values}
        if self._order is None:
            return values
        return self._take(values)

    def row(self, record: msgspec.Struct, **more: Any) -> Any:
        """The parameters of an insert: a record, whose fields are the columns in their order."""
        if self._order is None:
            return {**msgspec.structs.asdict(record), **more}
        return (*msgspec.structs.astuple(record), *more.values())


def _taker(names: Sequence[str]) -> Callable[[Mapping[str, Any]], Any]:
    """Takes the values of names out of a mapping, as a tuple."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda values: tuple(values[name] for name in names)


class Statements:
    """The statements of one actor type on one dialect, each compiled at its first use."""

    def __init__(
        self,
        tables: ActorTables,
        shared: SharedTables,
        dialect: sa.Dialect,
        flavor: Flavor,
        schemas: SchemaMap = None,
    ) -> None:
        self.tables = tables
        self.shared = shared
        self.flavor = flavor
        self._dialect = dialect
        self._schemas = schemas
        self._compiled: dict[Any, Statement] = {}

    def __getitem__(self, build: Build) -> Statement:
        statement = self._compiled.get(build)
        if statement is None:
            statement = Statement(build(self.tables, self.flavor), self._dialect, self._schemas)
            self._compiled[build] = statement
        return statement

    @property
    def next_transaction(self) -> Statement:
        """A row whose key numbers the transaction, where the database does not."""
        transactions = self.shared.transactions
        return self.special(
            "next_transaction", lambda: sa.insert(transactions).values(since=UtcNow())
        )

    def special(self, key: Any, build: Callable[[], sa.ClauseElement]) -> Statement:
        """A statement with variants, compiled once for each `key`."""
        statement = self._compiled.get(key)
        if statement is None:
            statement = self._compiled[key] = Statement(build(), self._dialect, self._schemas)
        return statement


_ONE: sa.ColumnElement[int] = sa.literal_column("1")
_ACTOR = sa.bindparam("actor_id", type_=sa.Uuid(as_uuid=False))
_LIMIT = sa.bindparam("limit", type_=sa.Integer())


# Commands ---------------------------------------------------------------------------------------


def insert_commands(tables: ActorTables, flavor: Flavor) -> sa.ClauseElement:
    """One command row. Its primary key and (idempotency_key, origin) are unique."""
    return _insert(tables.commands)


def commands_with_keys(tables: ActorTables, flavor: Flavor) -> sa.ClauseElement:
    """(key, id) of the commands that used some keys; index (idempotency_key, origin)."""
    commands = tables.commands.c
    # In the order of the index: where few commands have a key, SQLite's statistics say that one
    # value (NULL) is all there is, and it would read the whole table instead.
    return (
        sa.select(commands.idempotency_key, flavor.hex_id(commands.id))
        .where(commands.idempotency_key.in_(_values(flavor.each("keys"))))
        .order_by(commands.idempotency_key, commands.origin)
    )


def commands_by_id(tables: ActorTables, flavor: Flavor) -> sa.ClauseElement:
    """Commands by primary key."""
    commands = tables.commands.c
    ids = _values(flavor.each("ids"), sa.Uuid())
    return sa.select(*_readable(tables.commands, flavor)).where(commands.id.in_(ids))


# Events -----------------------------------------------------------------------------------------


def insert_events(tables: ActorTables, flavor: Flavor) -> sa.ClauseElement:
    """One event row. Its primary key and (actor_id, origin, sequence) are unique."""
    return _insert(tables.events, flavor.generated(tables.events))


def origins(tables: ActorTables, flavor: Flavor) -> sa.ClauseElement:
    """The origins of a stream; one probe of index (actor_id, origin, sequence) for each."""
    events = tables.events.c
    ordered = sa.select(events.origin).where(events.actor_id == _ACTOR).order_by(events.origin)
    first = ordered.limit(_ONE).scalar_subquery()
    found = sa.select(first.label("origin")).cte("found", recursive=True)
    following = ordered.where(events.origin > found.c.origin).limit(_ONE).scalar_subquery()
    found = found.union_all(sa.select(following).where(found.c.origin.is_not(None)))
    return sa.select(found.c.origin).where(found.c.origin.is_not(None))


def head(tables: ActorTables, flavor: Flavor) -> sa.ClauseElement:
    """(id, sequence, origin) of the newest event in the last origin, and the first origin.

    Probes of index (actor_id, origin, sequence).
    """
    events, first = tables.events.c, first_origin(tables, _ACTOR)
    return (
        sa.select(flavor.hex_id(events.id), events.sequence, events.origin, first)
        .where(events.actor_id == _ACTOR)
        .order_by(events.origin.desc(), events.sequence.desc())
        .limit(_ONE)
    )


def first_origin(
    tables: ActorTables, actor_id: sa.ColumnElement[Any], *outer: sa.FromClause
) -> sa.ColumnElement[Any]:
    """The origin that sorts first of those that have events of an actor, within `outer`.

    In the order of the index, for by a mere condition on the origin the planner would read all of a
    few long streams.
    """
    events = tables.events.alias("e").c
    return (
        sa.select(events.origin)
        .where(events.actor_id == actor_id)
        .order_by(events.origin)
        .limit(_ONE)
        .correlate(*outer)
        .scalar_subquery()
    )


def run(tables: ActorTables, flavor: Flavor) -> sa.ClauseElement:
    """What a replay needs of a run; a range of (actor_id, origin, sequence)."""
    origin = sa.bindparam("origin", type_=sa.Text())
    sequence = sa.bindparam("sequence", type_=sa.BigInteger())
    return run_after(tables, _ACTOR, origin, sequence)


def run_after(
    tables: ActorTables,
    actor_id: sa.ColumnElement[Any],
    origin: sa.ColumnElement[Any],
    covered: sa.ColumnElement[Any],
    more: Sequence[str] = (),
) -> sa.Select[Any]:
    """(tag, content) of events after a sequence that had seen no other origin.

    `more` are columns by name.
    """
    # Short names: psycopg parses statements of over 4,096 characters anew at each call.
    events = tables.events.alias("e").c
    version = sa.cast(events.type_version, sa.Text())
    tag = sa.case(
        (events.type_version == _ONE, events.type),
        else_=events.type + sa.literal_column("'\n'") + version,
    )
    return (
        sa.select(tag.label("tag"), events.content, *(events[name] for name in more))
        .where(
            events.actor_id == actor_id,
            events.origin == origin,
            events.sequence > covered,
            events.seen.is_(None),
        )
        .order_by(events.sequence)
        .limit(_LIMIT)
    )


def events_after(tables: ActorTables, flavor: Flavor) -> sa.ClauseElement:
    """What a replay needs of one origin's events; a range of (actor_id, origin, sequence)."""
    return _after(tables, stored_event(tables, flavor))


def event_rows_after(tables: ActorTables, flavor: Flavor) -> sa.ClauseElement:
    """Whole rows of one origin's events; a range of (actor_id, origin, sequence)."""
    return _after(tables, _readable(tables.events, flavor, {"transaction"}))


def stored_event(tables: ActorTables, flavor: Flavor) -> list[sa.ColumnElement[Any]]:
    """The columns of `StoredEvent`."""
    events = tables.events.c
    return [
        flavor.hex_id(events.id).label("id"),
        events.origin,
        events.sequence,
        events.seen,
        events.type,
        events.type_version,
        events.content,
    ]


def _after(tables: ActorTables, columns: Sequence[sa.ColumnElement[Any]]) -> sa.ClauseElement:
    events = tables.events.c
    return (
        sa.select(*columns)
        .where(
            events.actor_id == _ACTOR,
            events.origin == sa.bindparam("origin", type_=sa.Text()),
            events.sequence > sa.bindparam("sequence", type_=sa.BigInteger()),
        )
        .order_by(events.sequence)
        .limit(_LIMIT)
    )


# Identifiers ------------------------------------------------------------------------------------


def insert_mappings(tables: ActorTables, flavor: Flavor) -> sa.ClauseElement:
    """One mapping row. Its primary key and (digest, origin) are unique."""
    return _insert(tables.id_map)


def insert_links(tables: ActorTables, flavor: Flavor) -> sa.ClauseElement:
    """One link row."""
    return _insert(tables.links)


def owners(tables: ActorTables, flavor: Flavor) -> sa.ClauseElement:
    """(id, actor_id, origin) of the mappings of a digest; index (digest, origin)."""
    mappings = tables.id_map.c
    return sa.select(
        flavor.hex_id(mappings.id), flavor.hex_id(mappings.actor_id), mappings.origin
    ).where(mappings.digest == sa.bindparam("digest", type_=sa.LargeBinary()))


def last_mapping(tables: ActorTables, flavor: Flavor) -> sa.ClauseElement:
    """(id,) of the newest mapping; primary key."""
    mappings = tables.id_map.c
    return sa.select(flavor.hex_id(mappings.id)).order_by(mappings.id.desc()).limit(_ONE)


def actors(tables: ActorTables, flavor: Flavor) -> sa.ClauseElement:
    """A page of (first mapping, newest identifiers); primary key, and index (actor_id, id)."""
    mappings = tables.id_map.c
    earlier, newest = tables.id_map.alias("earlier"), tables.id_map.alias("newest")
    known = sa.exists().where(earlier.c.actor_id == mappings.actor_id, earlier.c.id < mappings.id)
    identifiers = (
        sa.select(newest.c.identifiers)
        .where(newest.c.actor_id == mappings.actor_id)
        .order_by(newest.c.id.desc())
        .limit(_ONE)
        .scalar_subquery()
    )
    return (
        sa.select(flavor.hex_id(mappings.id), identifiers)
        .where(
            mappings.id > sa.bindparam("after", type_=sa.Uuid(as_uuid=False)),
            mappings.id <= sa.bindparam("until", type_=sa.Uuid(as_uuid=False)),
            ~known,
        )
        .order_by(mappings.id)
        .limit(_LIMIT)
    )


# Snapshots --------------------------------------------------------------------------------------


def insert_snapshots(tables: ActorTables, flavor: Flavor) -> sa.ClauseElement:
    """One snapshot row."""
    return _insert(tables.snapshots)


def newest_snapshot(
    tables: ActorTables, flavor: Flavor, *, bounded: bool, diverging: bool
) -> sa.Select[Any]:
    """The newest usable snapshot; index (actor_id, last_event DESC, id DESC).

    `bounded` by version and last event; `diverging` where the stream has several origins, given
    in the parameter `origins`, for with one origin a snapshot cannot be divergent.
    """
    each = flavor.each("origins") if diverging else None
    usable = usable_snapshots(tables, flavor, _ACTOR, each, bounded=bounded)
    snapshots = tables.snapshots.c
    return usable.with_only_columns(
        flavor.hex_id(snapshots.id),
        snapshots.state,
        snapshots.vector,
        snapshots.version,
        flavor.hex_id(snapshots.last_event),
    )


def usable_snapshots(
    tables: ActorTables,
    flavor: Flavor,
    actor_id: sa.ColumnElement[Any],
    each_origin: sa.FromClause | None,
    *,
    bounded: bool,
) -> sa.Select[Any]:
    """(id, state, vector, version, last_event) of the newest usable snapshot of an actor.

    Of each origin it probes for the event after the snapshot's vector.
    """
    snapshots, events = tables.snapshots.c, tables.events.alias("following")
    kept = tables.events.alias("kept")
    usable = [
        kept.c.id == snapshots.last_event,
        snapshots.fingerprint == sa.bindparam("fingerprint", type_=sa.Text()),
    ]
    if bounded:
        usable.append(snapshots.version <= sa.bindparam("version", type_=sa.BigInteger()))
    if each_origin is not None:
        origin = each_origin.c.value
        # A scalar subquery, for as a join it reads the whole stream under a generic plan.
        following = (
            sa.select(events.c.id)
            .where(
                events.c.actor_id == actor_id,
                events.c.origin == origin,
                events.c.sequence == flavor.at(snapshots.vector, origin) + _ONE,
            )
            .correlate_except(events)
            .scalar_subquery()
        )
        late = sa.select(_ONE).select_from(each_origin).where(following < snapshots.last_event)
        usable.append(~late.correlate(tables.snapshots).exists())
    # A scalar subquery, one probe for each snapshot: of an EXISTS the planner may make a join that
    # reads the index of all events. And all conditions in it: beside it, the planner would expect
    # one row at most, and read and sort all snapshots of the actor instead of the first by index.
    is_usable = sa.select(_ONE).where(*usable).correlate_except(kept).scalar_subquery()
    query = (
        sa.select(
            snapshots.id,
            snapshots.state,
            snapshots.vector,
            snapshots.version,
            snapshots.last_event,
        )
        .where(snapshots.actor_id == actor_id, is_usable.is_not(None))
        .order_by(snapshots.last_event.desc(), snapshots.id.desc())
        .limit(_ONE)
    )
    if bounded:
        until = sa.bindparam("until", type_=sa.Uuid(as_uuid=False))
        query = query.where(snapshots.last_event <= until)
    return query


def bounds(version: int | None, until: str | None) -> dict[str, Any]:
    """The parameters of a bounded query, where one of the two may be open."""
    return {
        "version": 2**63 - 1 if version is None else version,
        "until": "f" * 32 if until is None else until,
    }


# Parts ------------------------------------------------------------------------------------------


def json_text(values: Any) -> str:
    """Values, or records, as the JSON text that a parameter takes many of."""
    return msgspec.json.encode(values).decode()


def _insert(table: sa.Table, generated: Collection[str] = ()) -> sa.ClauseElement:
    columns = [column for column in table.columns if column.name not in generated]
    return sa.insert(table).values({column.name: _given(column) for column in columns})


def _given(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """A column's parameter, in the form that `records` has."""
    if isinstance(column.type, UtcDateTime):
        # A text for all drivers: asyncpg wants a datetime where the parameter itself is a time.
        return sa.cast(sa.bindparam(column.name, type_=sa.Text()), column.type)
    return sa.bindparam(column.name)


def _values(each: sa.FromClause, type_: sa.types.TypeEngine[Any] | None = None) -> Any:
    value = each.c.value
    return sa.select(value if type_ is None else sa.cast(value, type_))


def _readable(
    table: sa.Table,
    flavor: Flavor,
    without: Collection[str] = (),
) -> list[sa.ColumnElement[Any]]:
    """A table's columns in the forms that `records` has."""
    columns: list[sa.ColumnElement[Any]] = []
    for column in table.columns:
        if column.name in without:
            continue
        if isinstance(column.type, sa.Uuid):
            columns.append(flavor.hex_id(column).label(column.name))
        elif column.name.endswith(("_at", "since")):
            columns.append(flavor.utc(column).label(column.name))
        else:
            columns.append(column)
    return columns
