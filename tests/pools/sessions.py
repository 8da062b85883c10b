"""Looks at sessions of a PostgreSQL server, and ends them."""

from contextlib import ExitStack
from typing import Any

import sqlalchemy as sa

UNPREPARED: dict[str, Any] = {"connect_args": {"prepare_threshold": None}}
"""What psycopg advises where a pooler does not know of prepared statements."""

_SESSION = """
SELECT pg_backend_pid() AS pid,
    (SELECT count(*) FROM pg_prepared_statements) AS prepared,
    (SELECT count(*) FROM pg_listening_channels()) AS channels,
    (SELECT count(*) FROM pg_cursors) AS cursors,
    (SELECT count(*) FROM pg_locks
      WHERE locktype = 'advisory' AND pid = pg_backend_pid()) AS locks,
    pg_my_temp_schema() AS temporary,
    (SELECT json_object_agg(name, setting) FROM pg_settings WHERE source = 'session') AS settings
"""


def sessions(url: sa.URL, count: int) -> list[dict[str, Any]]:
    """What is on so many sessions, taken all at once: with a pooler, on those that it has."""
    with ExitStack() as open_at_once:
        engine = _outside(url)
        connections = [open_at_once.enter_context(engine.connect()) for _ in range(count)]
        states = [dict(each.execute(sa.text(_SESSION)).mappings().one()) for each in connections]
    return sorted(states, key=lambda state: state["pid"])


def end_sessions(url: sa.URL) -> None:
    """End all sessions on a database but the one that does it; returns when they are gone."""
    with _outside(url).connect() as connection:
        connection.execute(sa.text(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ))  # fmt: skip


def _outside(url: sa.URL) -> sa.Engine:
    return sa.create_engine(url, poolclass=sa.NullPool, **UNPREPARED)
