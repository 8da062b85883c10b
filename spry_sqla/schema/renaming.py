"""A table under another name, with the names of its indexes, constraints and guards."""

import sqlalchemy as sa
from sqlalchemy.engine.mock import MockConnection
from sqlalchemy.schema import CreateIndex

from spry_sqla.schema.names import LIMIT
from spry_sqla.schema.on_postgresql import block, literal
from spry_sqla.schema.placing import path_of, placed, run, sorted_indexes
from spry_sqla.schema.triggers import guard, unguard


def move(old: sa.Table, new: sa.Table, bind: sa.Connection | MockConnection) -> None:
    """Let a table of ours that is there become another of the same kind, rows included.

    Views, foreign keys, triggers and indexes of others go with it. Constraints keep their names on
    SQLite, which can rename none.
    """
    if bind.dialect.name == "sqlite":
        _rename_on_sqlite(old, new, bind)
    else:
        _rename_on_postgresql(old, new, bind)
    guard(new, bind)


def _rename_on_sqlite(old: sa.Table, new: sa.Table, bind: sa.Connection | MockConnection) -> None:
    # A copy could be named in all its parts. But to drop the original is to delete its rows, as
    # ON DELETE CASCADE of a host's table understands it, and leaves views behind.
    on = placed(old, bind)
    unguard(old, bind)
    dropped = [
        f"DROP INDEX IF EXISTS {on.main_path(str(index.name))}" for index in sorted_indexes(old)
    ]
    renamed = f"ALTER TABLE {on.main_path(old.name)} RENAME TO {path_of(None, new.name)}"
    run([*dropped, renamed], bind)
    for index in sorted_indexes(new):
        bind.execute(CreateIndex(index))


def _rename_on_postgresql(
    old: sa.Table, new: sa.Table, bind: sa.Connection | MockConnection
) -> None:
    on = placed(old, bind)
    statements = [f"ALTER TABLE {on.sql} RENAME TO {path_of(None, new.name)}"]
    # An index that a constraint has takes the constraint's name with it.
    statements += [
        f"ALTER INDEX IF EXISTS {on.path(before)} RENAME TO {path_of(None, after)}"
        for before, after in zip(_indexes(old), _indexes(new), strict=True)
    ]
    run([*statements, _rename_not_null(new, on.path(new.name))], bind)


def _rename_not_null(table: sa.Table, path: str) -> str:
    """Since PostgreSQL 18 NOT NULL constraints have names of their own, made from the table's.

    As PostgreSQL does, it takes of the names of a column the first that is free.
    """
    columns = [column.name for column in table.columns if not column.nullable]
    given = ", ".join(
        f"({place}, {literal(name)}, ARRAY[{', '.join(map(literal, _not_null(table.name, name)))}])"
        for place, name in enumerate(columns)
    )
    there = f"attrelid = {literal(path)}::regclass AND attname = of_column"
    rename = literal(f"ALTER TABLE {path.replace('%', '%%')} RENAME CONSTRAINT %I TO %I")
    return block(
        "FOR it IN SELECT pg_constraint.oid, conname, connamespace, names "  # noqa: S608
        f"FROM (VALUES {given}) AS given (place, of_column, names) "
        f"JOIN pg_attribute ON {there} "
        "JOIN pg_constraint ON conrelid = attrelid AND conkey[1] = attnum AND contype = 'n' "
        "ORDER BY place LOOP "
        "SELECT name INTO becomes FROM unnest(it.names) WITH ORDINALITY AS each (name, n) "
        "WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE connamespace = it.connamespace "
        "AND conname = name AND oid <> it.oid) ORDER BY n LIMIT 1; "
        f"IF becomes <> it.conname THEN EXECUTE format({rename}, it.conname, becomes); END IF; "
        "END LOOP",
        declare="it record; becomes text",
    )


def _not_null(table: str, column: str) -> list[str]:
    """The names that PostgreSQL tries. Source: ChooseConstraintName in catalog/pg_constraint.c."""
    labels = ["not_null", *(f"not_null{number}" for number in range(1, 9))]
    names = list(dict.fromkeys(_cut(table, column, label) for label in labels))
    whole = f"{table}_{column}_not_null"
    return [whole] if names[0] == whole else names


def _cut(table: str, column: str, label: str) -> str:
    """As makeObjectName does in commands/indexcmds.c."""
    parts = [table.encode(), column.encode()]
    while sum(map(len, parts)) > LIMIT - len(label) - 2:
        longer = 0 if len(parts[0]) > len(parts[1]) else 1
        parts[longer] = parts[longer][:-1]
    return "_".join([*(part.decode(errors="ignore") for part in parts), label])


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
