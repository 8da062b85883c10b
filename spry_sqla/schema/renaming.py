"""A table under another name, with the names of its indexes, constraints and guards."""

import sqlalchemy as sa
from sqlalchemy.engine.mock import MockConnection

from spry_sqla.schema.triggers import path_of, placed


def move(old: sa.Table, new: sa.Table, bind: sa.Connection | MockConnection) -> None:
    """Let a table of ours that is there become another of the same kind, rows included."""
    if bind.dialect.name == "sqlite":
        _copy(old, new, bind)
    else:
        _rename(old, new, bind)


def _copy(old: sa.Table, new: sa.Table, bind: sa.Connection | MockConnection) -> None:
    # SQLite can rename a table, but neither its constraints, nor its indexes and triggers.
    checkfirst = not isinstance(bind, MockConnection)
    new.create(bind, checkfirst=checkfirst)
    names = [column.name for column in old.columns]
    bind.execute(sa.insert(new).from_select(names, sa.select(*old.columns)))
    old.drop(bind, checkfirst=checkfirst)


def _rename(old: sa.Table, new: sa.Table, bind: sa.Connection | MockConnection) -> None:
    on = placed(old, bind)
    statements = [f"ALTER TABLE {on.sql} RENAME TO {path_of(None, new.name)}"]
    # An index that a constraint has takes the constraint's name with it.
    statements += [
        f"ALTER INDEX {on.path(before)} RENAME TO {path_of(None, after)}"
        for before, after in zip(_indexes(old), _indexes(new), strict=True)
    ]
    for statement in statements:
        bind.execute(sa.DDL(statement.replace("%", "%%")))  # type: ignore[no-untyped-call]


def _indexes(table: sa.Table) -> list[str]:
    """The names of all indexes of a table, in an order that tables of one kind share."""
    with_columns = [
        *((table.primary_key.name, table.primary_key.columns),),
        *((each.name, each.columns) for each in table.constraints
          if isinstance(each, sa.UniqueConstraint)),
        *((each.name, each.columns) for each in table.indexes),
    ]  # fmt: skip
    ordered = sorted(with_columns, key=lambda pair: [column.name for column in pair[1]])
    return [str(name) for name, _ in ordered]
