"""The operations of a migration: `op.create_actor_tables("Player")` and those like it.

One operation makes all tables of an actor, with their constraints, indexes, guards and functions.
What it makes follows from `format`, the format of the tables, and from the database at hand: one
script runs on PostgreSQL and on SQLite, and makes what `create_all` makes, for it is `create_all`
that makes it, offline (`--sql`) too.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import sqlalchemy as sa
from alembic.autogenerate.render import renderers
from alembic.operations import MigrateOperation, Operations
from sqlalchemy.engine.mock import MockConnection

from spry_sqla.errors import StorageFailure
from spry_sqla.migrations.upgrades import STEPS
from spry_sqla.schema import (
    FORMAT,
    actor_tables,
    guard,
    has_rows,
    move,
    shared_tables,
    unguard,
    whole,
)

if TYPE_CHECKING:  # Alembic is still being imported when it imports this
    from alembic.autogenerate.api import AutogenContext

_Bind = sa.Connection | MockConnection


class Operation(MigrateOperation, ABC):
    """Something done to the tables of an actor, or to those that all actors share.

    `actors` is the stored name of the actor, two where one takes the place of the other, or none
    for the shared tables; `schema` and `prefix` are those of the Domain.
    """

    name: ClassVar[str]
    opposite: "ClassVar[type[Operation]]"

    def __init__(
        self, *actors: str, schema: str | None = None, prefix: str = "", format: int = FORMAT
    ) -> None:
        self.actors = actors
        self.schema = schema
        self.prefix = prefix
        self.format = format

    def reverse(self) -> "Operation":
        """The operation that undoes this one."""
        place = {"schema": self.schema, "prefix": self.prefix, "format": self.format}
        return self.opposite(*reversed(self.actors), **place)  # type: ignore[arg-type]

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """What `alembic check` and `compare_metadata` show."""
        return (self.name, *self.actors, self.schema, self.prefix)

    def rendered(self) -> str:
        """The arguments in a script."""
        arguments = [repr(actor) for actor in self.actors]
        if self.schema is not None:
            arguments.append(f"schema={self.schema!r}")
        if self.prefix:
            arguments.append(f"prefix={self.prefix!r}")
        return ", ".join([*arguments, f"format={self.format}"])

    def tables(self, *actors: str) -> list[sa.Table]:
        """The tables of actors, the shared ones where there is none, in the order of their making.

        Raises StorageFailure for a format that this version of the library does not make.
        """
        if self.format != FORMAT:
            raise StorageFailure(
                f"the migration wants tables of format {self.format}, and this version of "
                f"spry_sqla makes format {FORMAT}; run it with the version that wrote it"
            )
        metadata = sa.MetaData()
        place: dict[str, Any] = {"schema": self.schema, "prefix": self.prefix}
        shared = shared_tables(metadata, **place)
        if not actors:
            return [shared.transactions, shared.format, shared.epochs]
        made = [actor_tables(metadata, name, shared=shared, **place) for name in actors]
        return [
            table
            for of in made
            for table in (of.commands, of.events, of.id_map, of.links, of.snapshots)
        ]

    @abstractmethod
    def run(self, bind: _Bind) -> None:
        """Do it, or show its texts."""

    @classmethod
    def of_actor(
        cls,
        operations: Operations,
        actor: str,
        *,
        schema: str | None = None,
        prefix: str = "",
        format: int = FORMAT,
    ) -> None:
        """See the class; `actor` is the stored name of an actor."""
        operations.invoke(cls(actor, schema=schema, prefix=prefix, format=format))

    @classmethod
    def of_shared(
        cls,
        operations: Operations,
        *,
        schema: str | None = None,
        prefix: str = "",
        format: int = FORMAT,
    ) -> None:
        """See the class."""
        operations.invoke(cls(schema=schema, prefix=prefix, format=format))

    @classmethod
    def of_two(
        cls,
        operations: Operations,
        old: str,
        new: str,
        *,
        schema: str | None = None,
        prefix: str = "",
        format: int = FORMAT,
    ) -> None:
        """See the class; `old` and `new` are stored names of an actor."""
        operations.invoke(cls(old, new, schema=schema, prefix=prefix, format=format))


class CreateTables(Operation):
    """Make tables, with their indexes, guards and functions, where they are missing."""

    def run(self, bind: _Bind) -> None:
        tables = self.tables(*self.actors)
        checkfirst = not isinstance(bind, MockConnection)
        tables[0].metadata.create_all(bind, tables=tables, checkfirst=checkfirst)


class DropTables(Operation):
    """Drop tables, with all that is stored; shared ones not while other actors need them."""

    def run(self, bind: _Bind) -> None:
        tables = self.tables(*self.actors)
        checkfirst = not isinstance(bind, MockConnection)
        tables[0].metadata.drop_all(bind, tables=tables, checkfirst=checkfirst)


class CreateGuards(Operation):
    """Make triggers and functions anew that a hand has changed or dropped."""

    def run(self, bind: _Bind) -> None:
        for table in self.tables(*self.actors):
            guard(table, bind)


class DropGuards(Operation):
    """Drop the triggers, so that rows can be changed and deleted."""

    def run(self, bind: _Bind) -> None:
        for table in self.tables(*self.actors):
            unguard(table, bind)


class CreateActorTables(CreateTables):
    name = "create_actor_tables"


class DropActorTables(DropTables):
    name = "drop_actor_tables"
    opposite = CreateActorTables


class CreateSpryTables(CreateTables):
    name = "create_spry_tables"


class DropSpryTables(DropTables):
    name = "drop_spry_tables"
    opposite = CreateSpryTables


class RestoreTables(CreateTables):
    """Make tables that a hand has dropped; there is nothing to be undone."""


class RestoreActorTables(RestoreTables):
    name = "restore_actor_tables"


class RestoreSpryTables(RestoreTables):
    name = "restore_spry_tables"


class CreateActorGuards(CreateGuards):
    name = "create_actor_guards"


class DropActorGuards(DropGuards):
    name = "drop_actor_guards"
    opposite = CreateActorGuards


class CreateSpryGuards(CreateGuards):
    name = "create_spry_guards"


class DropSpryGuards(DropGuards):
    name = "drop_spry_guards"
    opposite = CreateSpryGuards


class RenameActorTables(Operation):
    """Give an actor's tables the names that follow from its new stored name; rows stay.

    Tables of the new name that are there, and empty, give way.
    """

    name = "rename_actor_tables"

    def run(self, bind: _Bind) -> None:
        """Raises StorageFailure where tables of the new name are there, and hold anything."""
        old, new = (self.tables(actor) for actor in self.actors)
        if isinstance(bind, sa.Connection):
            _drop_empty(new, bind)
        for before, after in zip(old, new, strict=True):
            move(before, after, bind)


def _drop_empty(tables: Sequence[sa.Table], bind: sa.Connection) -> None:
    for table in tables:
        if has_rows(table, bind):
            raise StorageFailure(
                f"the tables are not renamed, for {table.fullname} is there already and holds "
                "rows; see which of the two are right, and drop the others"
            )
    tables[0].metadata.drop_all(bind, tables=tables)


class UpgradeSpryTables(Operation):
    """Turn the shared tables and those of actors, of `from_format`, into tables of `format`.

    Raises StorageFailure on the way back: what was stored since may have no place there.
    """

    name = "upgrade_spry_tables"

    def __init__(
        self,
        *actors: str,
        from_format: int,
        schema: str | None = None,
        prefix: str = "",
        format: int = FORMAT,
    ) -> None:
        super().__init__(*actors, schema=schema, prefix=prefix, format=format)
        self.from_format = from_format

    def reverse(self) -> "Operation":
        return UpgradeSpryTables(
            *self.actors,
            from_format=self.format,
            schema=self.schema,
            prefix=self.prefix,
            format=self.from_format,
        )

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return (*super().to_diff_tuple(), self.from_format, self.format)

    def rendered(self) -> str:
        return f"{super().rendered()}, from_format={self.from_format}"

    def run(self, bind: _Bind) -> None:
        if self.format < self.from_format:
            raise StorageFailure(
                f"tables of format {self.from_format} cannot be made tables of format "
                f"{self.format} again; restore the backup from before the migration"
            )
        tables = self.tables() + (self.tables(*self.actors) if self.actors else [])
        for table in tables:
            unguard(table, bind)
        for step in range(self.from_format + 1, self.format + 1):
            STEPS[step](tables, bind)
        for table in tables:
            guard(table, bind)

    @classmethod
    def of_all(
        cls,
        operations: Operations,
        *actors: str,
        from_format: int,
        schema: str | None = None,
        prefix: str = "",
        format: int = FORMAT,
    ) -> None:
        """See the class; `actors` are the stored names of all actors of the schema and prefix."""
        operations.invoke(
            cls(*actors, from_format=from_format, schema=schema, prefix=prefix, format=format)
        )


CreateActorTables.opposite = DropActorTables
CreateSpryTables.opposite = DropSpryTables
CreateActorGuards.opposite = DropActorGuards
CreateSpryGuards.opposite = DropSpryGuards
RenameActorTables.opposite = RenameActorTables
RestoreActorTables.opposite = RestoreActorTables
RestoreSpryTables.opposite = RestoreSpryTables

_OPERATIONS: Sequence[tuple[type[Operation], str]] = (
    (CreateActorTables, "of_actor"),
    (DropActorTables, "of_actor"),
    (CreateSpryTables, "of_shared"),
    (DropSpryTables, "of_shared"),
    (RestoreActorTables, "of_actor"),
    (RestoreSpryTables, "of_shared"),
    (CreateActorGuards, "of_actor"),
    (DropActorGuards, "of_actor"),
    (CreateSpryGuards, "of_shared"),
    (DropSpryGuards, "of_shared"),
    (RenameActorTables, "of_two"),
    (UpgradeSpryTables, "of_all"),
)


def register() -> None:
    """Let Alembic's `op` and its scripts know the operations."""
    for operation, arguments in _OPERATIONS:
        Operations.register_operation(operation.name, arguments)(operation)
        Operations.implementation_for(operation)(_run)
        renderers.dispatch_for(operation)(_rendered)


def _run(operations: Operations, operation: Operation) -> None:
    context = operations.get_context()
    bind: _Bind
    if context.as_sql:
        show: Callable[..., Any] = lambda statement, *_, **__: operations.execute(statement)  # noqa: E731
        bind = MockConnection(context.dialect, show)
    else:
        bind = operations.get_bind()
    with whole(bind):
        operation.run(bind)


def _rendered(context: "AutogenContext", operation: Operation) -> str:
    prefix = context.opts["alembic_module_prefix"]
    return f"{prefix}{operation.name}({operation.rendered()})"
