"""Transactions of others on PostgreSQL, which hold what ours want."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import sqlalchemy as sa

from tests.faults.domain import domain
from tests.faults.waiting import until


@contextmanager
def outside(url: str, *, autocommit: bool = False) -> Iterator[psycopg.Connection]:
    """A connection that has nothing to do with any pool; rolled back at the end."""
    made = sa.make_url(url)
    query = {name: str(value) for name, value in made.query.items()}
    connection = psycopg.connect(
        host=query.get("host", made.host),
        port=query.get("port", made.port),
        user=made.username,
        dbname=made.database,
        autocommit=autocommit,
    )
    try:
        yield connection
    finally:
        connection.close()


def take_next(connection: psycopg.Connection, counter: str) -> None:
    """Append the next event of a counter, in a transaction that is not to be committed."""
    names = [column.name for column in domain.metadata.tables["counter_events"].c]
    names.remove("transaction")
    changed = {"id": "gen_random_uuid()", "sequence": "sequence + 1"}
    values = ", ".join(changed.get(name, f'"{name}"') for name in names)
    columns = ", ".join(f'"{name}"' for name in names)
    connection.execute(
        f"INSERT INTO counter_events ({columns}) SELECT {values} FROM counter_events "
        "WHERE content ->> 'counter' = %s ORDER BY sequence DESC LIMIT 1",
        [counter],
    )


def until_waiting(connection: psycopg.Connection, count: int) -> None:
    """Return when as many sessions of the database wait for a lock."""

    def waiting() -> bool:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).fetchone()
        assert found is not None
        return bool(found[0] >= count)

    until(waiting, f"{count} sessions wait for a lock")


def pids(connection: psycopg.Connection) -> list[int]:
    """The other sessions of clients of the database."""
    rows = connection.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    return [pid for (pid,) in rows]
