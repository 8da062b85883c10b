"""Where our tables are, what they are called there, and how a text is run on them."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine.mock import MockConnection

from spry_sqla.schema import names
from spry_sqla.schema.names import Mark

FORMAT = 1
"""The format of the tables that this version of the library makes: the row of `spry_format`."""

FORMAT_TABLE = "spry_format"
EPOCHS_TABLE = "spry_epochs"
TRANSACTIONS_TABLE = "spry_transactions"

Bind: TypeAlias = sa.Connection | MockConnection
"""What `create_all` runs on; a MockConnection (`create_mock_engine`) only shows the texts."""

Texts: TypeAlias = Callable[[], list[str]]
"""Statements, made where they are asked for."""


@dataclass(frozen=True, slots=True)
class On:
    """A table of ours in the schema where it really is: a translation may put it elsewhere."""

    table: sa.Table
    schema: str | None

    @property
    def mark(self) -> Mark:
        return mark_of(self.table)

    def path(self, name: str) -> str:
        """The SQL of the name of something in the table's schema."""
        return path_of(self.schema, name)

    def main_path(self, name: str) -> str:
        """As `path`, on SQLite: without a schema it would look into attached databases, too."""
        return path_of(self.schema or "main", name)

    def shared(self, kind: str) -> str:
        """The SQL of the name of a table or function that the table shares with others."""
        return self.path(names.shared_name(self.mark.prefix, kind))

    @property
    def sql(self) -> str:
        return self.path(self.table.name)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between databases."""

    without: frozenset[str]
    before: Callable[[str | None], list[str]]
    after: Callable[[On], list[str]]
    unguarded: Callable[[On], list[str]]
    defaults: Callable[[On], list[str]]
    """Sets the defaults that use functions of ours: these are lost where a hand drops those."""
    before_drop: Callable[[On], list[str]]
    after_drop: Callable[[On], list[str]]
    users: Callable[[On], sa.TextClause]
    """Counts the guards of tables that are not shared themselves."""
    begin: Callable[[On, Bind, Texts], None]
    """Makes what follows safe beside other processes that do the same; given all that it is."""
    finish: Callable[[On, Bind, Texts], None]
    """Given what comes after the table."""
    whole: Callable[[Bind], AbstractContextManager[object]]
    """Lets all that is run within be done, or nothing of it."""


def mark_of(table: sa.Table) -> Mark:
    """The mark of one of our tables."""
    mark = table.info["spry"]
    assert isinstance(mark, Mark)
    return mark


def quoted(name: str) -> str:
    """The SQL of a name."""
    return '"' + name.replace('"', '""') + '"'


def path_of(schema: str | None, name: str) -> str:
    """The SQL of a name in a schema."""
    return quoted(name) if schema is None else f"{quoted(schema)}.{quoted(name)}"


def placed(table: sa.Table, bind: Bind) -> On:
    """The table where the bind's `schema_translate_map` puts it."""
    return On(table, bind.schema_for_object(table))


def run(statements: Iterable[str], bind: Bind) -> None:
    """Run statements that have no parameters."""
    for statement in statements:
        # DDL formats its text once with %, and doubles what is left where the driver asks for it.
        bind.execute(sa.DDL(statement.replace("%", "%%")))  # type: ignore[no-untyped-call]


def sorted_indexes(table: sa.Table) -> list[sa.Index]:
    """The indexes of a table, always in one order."""
    return sorted(table.indexes, key=lambda index: str(index.name))


def counted(on: On, found: str, *, needed: str) -> sa.TextClause:
    """A count of what is found with a text, in tables that are not shared."""
    kinds = (FORMAT_TABLE, EPOCHS_TABLE, TRANSACTIONS_TABLE)
    shared = [names.shared_name(on.mark.prefix, kind) for kind in kinds]
    return sa.text(f"SELECT count(*) FROM {found}").bindparams(
        sa.bindparam("needed", needed), sa.bindparam("shared", shared, expanding=True)
    )


def nothing(_on: On) -> list[str]:
    """Where a dialect needs none."""
    return []
