"""The tables of an actor, and those that all actors of one schema and prefix share.

Columns follow the fields of `records`, in their order. The tables live in any `MetaData`, the
host's own included, whose naming convention does not reach them. `create_all` makes them together
with what `triggers` adds; what a row means is left to `codec` and `sql`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.schema import BaseDDLElement, CreateIndex, CreateTable, DropTable, SchemaItem, conv

from spry_sqla.errors import DuplicateName
from spry_sqla.schema import names, on_postgresql, on_sqlite, triggers
from spry_sqla.schema.names import Mark
from spry_sqla.schema.placing import EPOCHS_TABLE, FORMAT_TABLE, TRANSACTIONS_TABLE
from spry_sqla.schema.types import JsonText, TransactionNumber, UtcDateTime, UtcNow


@dataclass(frozen=True, slots=True)
class SharedTables:
    """The tables that all actors of one schema and prefix share."""

    format: sa.Table
    """The format of the tables, with a row for each that the database has had."""
    epochs: sa.Table
    """What is added to xids, so that transaction numbers go on after a restore (PostgreSQL)."""
    transactions: sa.Table
    """A row for each appending transaction, whose key is its number; made on SQLite only."""


@dataclass(frozen=True, slots=True)
class ActorTables:
    """The five tables of an actor."""

    name: str
    """The stored name of the actor."""
    commands: sa.Table
    events: sa.Table
    id_map: sa.Table
    links: sa.Table
    snapshots: sa.Table


def shared_tables(metadata: sa.MetaData, *, schema: str | None, prefix: str) -> SharedTables:
    """The shared tables, made in `metadata`, or those that are there already.

    `schema=None` is the schema of `metadata` if it has one, else the database's current schema.
    Raises DefinitionError for a schema or a prefix that cannot be used, and DuplicateName where
    the host has a table of such a name.
    """
    place = _Place.of(metadata, schema)
    wanted = [
        _Wanted(names.shared_name(prefix, kind), Mark(prefix, kind, None)) for kind in _SHARED
    ]
    made = place.tables(wanted, _SHARED)
    shared = SharedTables(*made)
    # SQLite's guards write to the transactions, so those come first. On PostgreSQL, which has none,
    # the guards' function comes with the format, and goes with it when all are dropped.
    shared.format.add_is_dependent_on(shared.transactions)
    shared.epochs.add_is_dependent_on(shared.transactions)
    shared.epochs.add_is_dependent_on(shared.format)
    return shared


def actor_tables(
    metadata: sa.MetaData,
    name: str,
    *,
    schema: str | None,
    prefix: str,
    shared: SharedTables,
    aliases: tuple[str, ...] = (),
) -> ActorTables:
    """The tables of the actor with the stored name `name`, or those that are there already.

    `shared` is what `shared_tables` returned for the same metadata, schema and prefix; `aliases`
    are former stored names of the actor, by which a migration finds its tables. Raises
    DefinitionError for a name that cannot be used, and DuplicateName where another actor or the
    host has a table of such a name.
    """
    place = _Place.of(metadata, schema)
    function = names.shared_name(prefix, on_postgresql.TRANSACTION_FUNCTION)
    builders = _actor(TransactionNumber(function, place.schema))
    wanted = [
        _Wanted(names.table_name(prefix, name, kind), Mark(prefix, kind, name, aliases))
        for kind in builders
    ]
    made = place.tables(wanted, builders)
    for table in made:
        table.add_is_dependent_on(shared.epochs)
        table.add_is_dependent_on(shared.transactions)
    return ActorTables(name, *made)


@cache
def shapes() -> Mapping[frozenset[str], str]:
    """The names of the columns of each kind of table: the kind."""
    metadata = sa.MetaData()
    shared = shared_tables(metadata, schema=None, prefix="")
    actor_tables(metadata, "Any", schema=None, prefix="", shared=shared)
    tables = metadata.tables.values()
    return {frozenset(table.columns.keys()): table.info["spry"].kind for table in tables}


def former_tables(table: sa.Table) -> list[sa.Table]:
    """What one of our tables was called by former names of its actor, without its columns."""
    mark = table.info["spry"]
    names_before = [names.table_name(mark.prefix, alias, mark.kind) for alias in mark.aliases]
    return [sa.Table(name, sa.MetaData(), schema=table.schema) for name in names_before]


def index_names(table: sa.Table) -> set[str]:
    """The names of the indexes that we make on one of our tables: others are the host's."""
    mark = table.info["spry"]
    builders = _SHARED if mark.actor is None else _actor(TransactionNumber("", None))
    items = builders[mark.kind](table.name)
    return {str(item.name) for item in items if isinstance(item, sa.Index)}


# Where a table goes, and whether it may ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Wanted:
    name: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class _Place:
    metadata: sa.MetaData
    schema: str | None

    @classmethod
    def of(cls, metadata: sa.MetaData, schema: str | None) -> "_Place":
        return cls(metadata, names.checked_schema(schema) or metadata.schema)

    def tables(self, wanted: Sequence[_Wanted], builders: "_Builders") -> list[sa.Table]:
        # All are looked for before one is made, so that a refusal leaves no part of an actor.
        found = [self.find(one) for one in wanted]
        return [
            self.make(one, builders[one.mark.kind]) if table is None else table
            for one, table in zip(wanted, found, strict=True)
        ]

    def find(self, wanted: _Wanted) -> sa.Table | None:
        same = names.same_to_sqlite(wanted.name)
        for table in self.metadata.tables.values():
            if table.schema == self.schema and names.same_to_sqlite(table.name) == same:
                if table.info.get("spry") == wanted.mark:
                    return table
                raise _duplicate(wanted, table)
        return None

    def make(self, wanted: _Wanted, build: "_Builder") -> sa.Table:
        table = sa.Table(
            wanted.name,
            self.metadata,
            *build(wanted.name),
            schema=self.schema,
            info={"spry": wanted.mark},
        )
        _create_if_missing(table)
        _drop_if_unused(table)
        triggers.install(table)
        return table


_Builder: TypeAlias = Callable[[str], list[SchemaItem]]
_Builders: TypeAlias = Mapping[str, _Builder]


def _duplicate(wanted: _Wanted, found: sa.Table) -> DuplicateName:
    ours = wanted.mark.actor
    theirs = found.info.get("spry")
    who = f"the actor {ours!r}" if ours is not None else "the library"
    if not isinstance(theirs, Mark):
        other = "the metadata holds a table of that name that is not the library's"
    elif theirs.actor is not None:
        other = f"the actor {theirs.actor!r} has it already"
    else:
        other = f"the library's table {found.name!r} has it already"
    return DuplicateName(
        f"{who} needs the table {wanted.name!r}, but {other}: "
        f"set another prefix or schema, or give one of them another name"
    )


def _create_if_missing(table: sa.Table) -> None:
    """Let `create_all` go on where another process made the table after it had looked."""

    def belongs_here(*_: object, dialect: sa.Dialect, **__: object) -> bool:
        return triggers.made_on(table, dialect)

    table.set_creator_ddl(CreateTable(table, if_not_exists=True).execute_if(callable_=belongs_here))
    for index in table.indexes:
        index.ddl_if(callable_=_if_not_exists)


def _drop_if_unused(table: sa.Table) -> None:
    """Let `drop_all` leave a shared table to the actors of other domains in the database."""

    def unused(
        ddl: object,
        target: object,
        bind: sa.Connection | None,
        *_: object,
        dialect: sa.Dialect,
        **__: object,
    ) -> bool:
        return triggers.made_on(table, dialect) and (
            bind is None or not triggers.in_use(table, bind)
        )

    table.set_dropper_ddl(DropTable(table).execute_if(callable_=unused))


def _if_not_exists(ddl: BaseDDLElement, *_: object, **__: object) -> bool:
    # SQLAlchemy has a place of its own for the DDL of a table, but none for that of an index.
    if isinstance(ddl, CreateIndex):
        ddl.if_not_exists = True
    return True


# Columns, in the order of the records' fields ---------------------------------------------------


def _column(
    name: str, type_: sa.types.TypeEngine[Any], *, nullable: bool = False
) -> sa.Column[Any]:
    return sa.Column(name, type_, nullable=nullable)


_id = partial(_column, type_=sa.Uuid())
_text = partial(_column, type_=sa.Text())
_json = partial(_column, type_=JsonText())
_number = partial(_column, type_=sa.BigInteger())
_time = partial(_column, type_=UtcDateTime())


def _primary_key(table: str, column: str = "id") -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(column, name=_named(table, "pkey"))


def _unique(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=_named(table, "key"))


def _index(table: str, word: str, *columns: Any) -> sa.Index:
    # What tells it from one that the host puts on the table.
    return sa.Index(_named(table, f"{word}_idx"), *columns, info={"spry": word})


def _named(table: str, word: str) -> conv:
    """A name that the naming convention of the host's metadata leaves as it is."""
    return conv(names.shortened(f"{table}_{word}"))


def _commands(table: str) -> list[SchemaItem]:
    return [
        _id("id"),
        _text("type"),
        _number("type_version"),
        _json("content"),
        _text("idempotency_key", nullable=True),
        _json("metadata", nullable=True),
        _text("origin"),
        _id("actor_id"),
        _number("actor_version"),
        _json("seen"),
        _time("received_at"),
        _time("handled_at"),
        _primary_key(table),
        _unique(table, "idempotency_key", "origin"),
    ]


def _events(table: str, number: TransactionNumber) -> list[SchemaItem]:
    return [
        _id("id"),
        _id("actor_id"),
        _text("origin"),
        _number("sequence"),
        _json("seen", nullable=True),
        _text("type"),
        _number("type_version"),
        _json("content"),
        _id("command_id"),
        _text("command_type"),
        _text("created_by_type"),
        _id("created_by_id"),
        _number("created_by_version"),
        _time("created_at"),
        # Local to its database: last, so that all that replicas exchange comes before it.
        sa.Column("transaction", sa.BigInteger(), nullable=False, server_default=number),
        _primary_key(table),
        _unique(table, "actor_id", "origin", "sequence"),
        _index(table, "transaction", "transaction", "id"),
        _index(table, "command", "command_id"),
    ]


def _id_map(table: str) -> list[SchemaItem]:
    return [
        _id("id"),
        _column("digest", sa.LargeBinary(32)),
        _json("identifiers"),
        _id("actor_id"),
        _text("origin"),
        _id("command_id"),
        _time("since"),
        _primary_key(table),
        _unique(table, "digest", "origin"),
        _index(table, "actor", "actor_id", "id"),
        _index(table, "command", "command_id"),
    ]


def _links(table: str) -> list[SchemaItem]:
    return [
        _id("id"),
        _id("parent_id"),
        _text("child_type"),
        _id("child_id"),
        _column("active", sa.Boolean()),
        _text("origin"),
        _id("command_id"),
        _time("since"),
        _primary_key(table),
        _index(table, "parent", "parent_id", "id"),
        _index(table, "child", "child_type", "child_id", "id"),
        _index(table, "command", "command_id"),
    ]


def _snapshots(table: str) -> list[SchemaItem]:
    last_event = _id("last_event")
    key = _id("id")
    return [
        key,
        _id("actor_id"),
        _json("state"),
        _text("fingerprint"),
        _json("vector"),
        _json("linked", nullable=True),
        _id("ancestor", nullable=True),
        _id("last_command", nullable=True),
        last_event,
        _number("version"),
        _time("created_at"),
        _primary_key(table),
        # The newest usable snapshot is the first that an index scan meets.
        _index(table, "newest", "actor_id", last_event.desc(), key.desc()),
    ]


def _format(table: str) -> list[SchemaItem]:
    return [
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        _since(),
        _primary_key(table, "version"),
    ]


def _epochs(table: str) -> list[SchemaItem]:
    return [
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        _number("offset"),
        _since(),
        _primary_key(table, "epoch"),
    ]


def _transactions(table: str) -> list[SchemaItem]:
    return [
        sa.Column("id", sa.Integer(), nullable=False),
        _since(),
        _primary_key(table),
        sa.CheckConstraint("id > 0", name=conv(on_sqlite.REPLACE_REFUSED)),
    ]


def _since() -> sa.Column[Any]:
    return sa.Column("since", UtcDateTime(), nullable=False, server_default=UtcNow())


_SHARED: _Builders = {
    FORMAT_TABLE: _format,
    EPOCHS_TABLE: _epochs,
    TRANSACTIONS_TABLE: _transactions,
}


def _actor(number: TransactionNumber) -> _Builders:
    return {
        "commands": _commands,
        "events": partial(_events, number=number),
        "id_map": _id_map,
        "links": _links,
        "snapshots": _snapshots,
    }
