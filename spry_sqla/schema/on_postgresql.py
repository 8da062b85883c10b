"""PostgreSQL: functions, triggers and defaults of our tables, and the lock to make them under."""

from contextlib import AbstractContextManager, nullcontext

import sqlalchemy as sa
from sqlalchemy.engine.mock import MockConnection

from spry_sqla.schema.placing import (
    EPOCHS_TABLE,
    FORMAT_TABLE,
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

TRANSACTION_FUNCTION = "spry_transaction"
"""PostgreSQL: gives the number of the transaction at work."""

REFUSE_FUNCTION = "spry_refuse"
"""PostgreSQL: what the guards' triggers call."""

REFUSED = "55000"
"""PostgreSQL: the SQLSTATE of a refusal, `object_not_in_prerequisite_state`, as for a view."""

_LOCK = int.from_bytes(b"sprysqla")
"""PostgreSQL: the advisory lock under which the schema is made."""


def _before(schema: str | None) -> list[str]:
    if schema is None:
        return []
    # CREATE SCHEMA IF NOT EXISTS asks for the right to make schemas even where there is one.
    create = literal(f"CREATE SCHEMA {quoted(schema)}")
    return [
        block(
            f"IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = {literal(schema)}) "
            f"THEN EXECUTE {create}; END IF"
        )
    ]


def _after(on: On) -> list[str]:
    functions = {FORMAT_TABLE: _refuse_function, EPOCHS_TABLE: _transaction_function}
    function = functions.get(on.mark.kind, nothing)
    return [*function(on), *_guards(on)]


def _refuse_function(on: On) -> list[str]:
    return [
        (
            f"CREATE OR REPLACE FUNCTION {on.shared(REFUSE_FUNCTION)}() RETURNS trigger "
            f"LANGUAGE plpgsql AS $$ BEGIN "
            f"RAISE EXCEPTION 'table %.% is append-only: % is refused', "
            f"TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP USING ERRCODE = '{REFUSED}', "
            f"HINT = 'What is stored has happened: append another event instead.'; END $$"
        )
    ]


def _transaction_function(on: On) -> list[str]:
    # A body in this form is parsed when the function is made, and then knows its table by number:
    # an apply worker of logical replication runs it with an empty search_path.
    return [
        (
            f"CREATE OR REPLACE FUNCTION {on.shared(TRANSACTION_FUNCTION)}() RETURNS bigint "
            f"LANGUAGE sql STABLE RETURN pg_current_xact_id()::text::bigint + "
            f'(SELECT "offset" FROM {on.sql} ORDER BY "epoch" DESC LIMIT 1)'
        )
    ]


GUARDS = {
    "spry_refuse": ("UPDATE OR DELETE OR TRUNCATE", "STATEMENT"),
    "spry_refuse_row": ("UPDATE OR DELETE", "ROW"),
}
"""PostgreSQL: the triggers of a table, each with the actions that it refuses, and its level.

The one for each statement also stops TRUNCATE, and statements that touch no row; an apply worker of
logical replication fires only triggers for each row.
"""


def _guards(on: On) -> list[str]:
    made = []
    for name, (actions, level) in GUARDS.items():
        made += [
            (
                f"CREATE OR REPLACE TRIGGER {name} BEFORE {actions} ON {on.sql} "
                f"FOR EACH {level} EXECUTE FUNCTION {on.shared(REFUSE_FUNCTION)}()"
            ),
            # Also in the role of a replica.
            f"ALTER TABLE {on.sql} ENABLE ALWAYS TRIGGER {name}",
        ]
    return made


def _unguarded(on: On) -> list[str]:
    return [f"DROP TRIGGER IF EXISTS {name} ON {on.sql}" for name in GUARDS]


def _defaults(on: On) -> list[str]:
    if on.mark.kind != "events":
        return []
    function = on.shared(TRANSACTION_FUNCTION)
    return [f'ALTER TABLE {on.sql} ALTER COLUMN "transaction" SET DEFAULT {function}()']


def _before_drop(on: On) -> list[str]:
    if on.mark.kind != EPOCHS_TABLE:
        return []
    return [f"DROP FUNCTION IF EXISTS {on.shared(TRANSACTION_FUNCTION)}()"]


def _after_drop(on: On) -> list[str]:
    if on.mark.kind != FORMAT_TABLE:
        return []
    return [f"DROP FUNCTION IF EXISTS {on.shared(REFUSE_FUNCTION)}()"]


def _users(on: On) -> sa.TextClause:
    # A trigger knows its function by number: it is the same for tables in other schemas.
    return counted(
        on,
        "pg_catalog.pg_trigger JOIN pg_catalog.pg_class ON pg_class.oid = tgrelid "
        "WHERE tgfoid = to_regproc(:needed) AND relname NOT IN :shared",
        needed=on.shared(REFUSE_FUNCTION),
    )


def _begin(on: On, bind: Bind, texts: Texts) -> None:
    # CREATE … IF NOT EXISTS and CREATE OR REPLACE fail in PostgreSQL where two run at once.
    if _locked(bind):
        run(_before(on.schema), bind)
    else:
        # In autocommit the lock is gone with its statement, so all goes into one.
        parts = [_LOCKING, *(f"EXECUTE {literal(text)}" for text in texts())]
        run([block("; ".join(parts))], bind)


def _finish(_on: On, bind: Bind, texts: Texts) -> None:
    if _held(bind):
        run(texts(), bind)


_LOCKING = f"PERFORM pg_advisory_xact_lock({_LOCK})"

_HELD = sa.text(
    "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 "
    f"AND classid = {_LOCK >> 32} AND objid = {_LOCK & 0xFFFFFFFF} AND pid = pg_backend_pid())"
)


def _locked(bind: Bind) -> bool:
    """Take the lock until the transaction ends; False if that was the end of the statement."""
    if isinstance(bind, MockConnection) or not _held(bind):
        run([block(_LOCKING)], bind)
    return _held(bind)


def _held(bind: Bind) -> bool:
    return isinstance(bind, MockConnection) or bool(bind.scalar(_HELD))


def block(body: str, *, declare: str = "") -> str:
    """The SQL of a block of PL/pgSQL, with the variables that it needs."""
    variables = f"DECLARE {declare}; " if declare else ""
    return f"DO {literal(f'{variables}BEGIN {body}; END')}"


def literal(text: str) -> str:
    """The SQL of a text, whatever `standard_conforming_strings` says."""
    quoted = text.replace("'", "''")
    return f"E'{escaped}'" if (escaped := quoted.replace("\\", "\\\\")) != quoted else f"'{quoted}'"


def _whole(_bind: Bind) -> AbstractContextManager[None]:
    return nullcontext()  # Alembic has begun a transaction


DIALECT = Dialect(
    without=frozenset({TRANSACTIONS_TABLE}),
    before=_before,
    after=_after,
    unguarded=_unguarded,
    defaults=_defaults,
    before_drop=_before_drop,
    after_drop=_after_drop,
    users=_users,
    begin=_begin,
    finish=_finish,
    whole=_whole,
)
