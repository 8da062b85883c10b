"""SQLite: the triggers of our tables, and the transaction to make them in."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.mock import MockConnection

from spry_sqla.schema import names
from spry_sqla.schema.placing import (
    TRANSACTIONS_TABLE,
    Bind,
    Dialect,
    On,
    Texts,
    counted,
    nothing,
    quoted,
    run,
)

REPLACE_REFUSED = "stored_rows_are_never_replaced"
"""SQLite: the constraint that an `INSERT OR REPLACE` runs into; its error shows this name."""


def _before(_schema: str | None) -> list[str]:
    return []


def _after(on: On) -> list[str]:
    return [
        f"CREATE TRIGGER IF NOT EXISTS {on.path(name)} {body}" for name, body in _guards(on).items()
    ]


def _unguarded(on: On) -> list[str]:
    return [f"DROP TRIGGER IF EXISTS {on.main_path(name)}" for name in _guards(on)]


def guards(table: sa.Table) -> dict[str, str]:
    """SQLite: the triggers of a table, each with what follows its name in its text."""
    return _guards(On(table, table.schema))


def _guards(on: On) -> dict[str, str]:
    bodies = {
        "update": _refusal(on, "UPDATE"),
        "delete": _refusal(on, "DELETE"),
        "replace": _no_replace(on),
    }
    return {names.shortened(f"{on.table.name}_no_{what}"): body for what, body in bodies.items()}


def _refusal(on: On, action: str) -> str:
    name = on.table.name
    message = _literal(f"table {name} is append-only: {action} is refused")
    return f"BEFORE {action} ON {quoted(name)} BEGIN SELECT RAISE(ABORT, {message}); END"


def _no_replace(on: On) -> str:
    """REPLACE deletes rows and fires no trigger for it; so it must fail before.

    A statement inside of a trigger takes the conflict clause of the statement that fired it, where
    that has one (https://sqlite.org/lang_createtrigger.html). This one breaks a CHECK: in a plain
    INSERT that is ignored, as written here; in a REPLACE a CHECK aborts. So it does where somebody
    writes OR ABORT, OR FAIL or OR ROLLBACK, of which a plain INSERT has no need.

    To look for the keys in the trigger instead would cost the same, and would break
    ON CONFLICT DO NOTHING. Measured: 1 µs for each row, 1 to 2.5 % of a durable command.
    """
    name = on.table.name
    helper = names.shared_name(on.mark.prefix, TRANSACTIONS_TABLE)
    # The helper's own trigger must not answer the row that is sent to break the CHECK.
    when = 'WHEN NEW."id" IS NOT 0 ' if on.mark.kind == TRANSACTIONS_TABLE else ""
    return (
        f"BEFORE INSERT ON {quoted(name)} {when}BEGIN "
        f'INSERT OR IGNORE INTO {quoted(helper)} ("id", "since") VALUES (0, \'\'); END'
    )


def _users(on: On) -> sa.TextClause:
    master = on.path("sqlite_master").replace(":", r"\:")  # no parameter begins in a name
    return counted(
        on,
        f"{master} WHERE type = 'trigger' AND instr(sql, :needed) AND tbl_name NOT IN :shared",
        needed=f"INTO {quoted(names.shared_name(on.mark.prefix, TRANSACTIONS_TABLE))} ",
    )


def _begin(_on: On, bind: Bind, texts: Texts) -> None:
    # Where nobody but us would commit what follows, all of it is made here: if it were left open
    # for `_finish`, nothing would end it where the table fails in between.
    with _begun_by_us(bind) as ours:
        if ours:
            run(texts(), bind)


def _begun(bind: Bind) -> bool:
    """Begin a transaction if none is open; True if nobody but us will commit it."""
    if isinstance(bind, MockConnection) or _in_transaction(bind):
        return False
    run(["BEGIN IMMEDIATE"], bind)
    return _is_autocommit(bind.connection.driver_connection)


def _finish(_on: On, bind: Bind, texts: Texts) -> None:
    if _in_transaction(bind):
        run(texts(), bind)


def _in_transaction(bind: Bind) -> bool:
    if isinstance(bind, MockConnection):
        return True
    return bool(getattr(bind.connection.driver_connection, "in_transaction", True))


@contextmanager
def _begun_by_us(bind: Bind) -> Iterator[bool]:
    """Begin a transaction if none is open; True if it is ended here, as nobody else would."""
    # Left to the driver, each statement commits by itself: a process that is killed in between
    # would leave a table without guards, which the next create_all takes for made.
    begun = _begun(bind)
    try:
        yield begun
    except BaseException:
        if begun:
            run(["ROLLBACK"], bind)
        raise
    if begun:
        run(["COMMIT"], bind)


def _is_autocommit(driver: Any) -> bool:
    return driver.isolation_level is None or getattr(driver, "autocommit", None) is True


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


DIALECT = Dialect(
    without=frozenset(),
    before=_before,
    after=_after,
    unguarded=_unguarded,
    defaults=nothing,
    before_drop=nothing,
    after_drop=nothing,
    users=_users,
    begin=_begin,
    finish=_finish,
    whole=_begun_by_us,
)
