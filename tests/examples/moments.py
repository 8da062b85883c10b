"""Moments in the life of a request, in which it is held from outside until it is killed.

Each is a context manager: given the URL of the database it yields whether a request has come to
that moment. At its end the request may go on, if there is still one.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from threading import Event
from typing import TypeAlias

import sqlalchemy as sa

from tests.faults.locks import outside
from tests.processes import Connection, started

Moment: TypeAlias = Callable[[str], AbstractContextManager[Callable[[], bool]]]


@contextmanager
def before_the_events_are_written(url: str) -> Iterator[Callable[[], bool]]:
    """PostgreSQL: the table of events is locked, and the append waits for it."""
    with _locked(url, "show_events") as waits:
        yield waits


@contextmanager
def before_the_row_is_written(url: str) -> Iterator[Callable[[], bool]]:
    """PostgreSQL: the table of orders is locked, and who waits for it has written its events."""
    with _locked(url, "orders"), outside(url, autocommit=True) as watcher:
        query = """
            SELECT FROM pg_locks waiting JOIN pg_locks appended USING (pid)
            WHERE NOT waiting.granted AND waiting.relation = 'orders'::regclass
            AND appended.granted AND appended.relation = 'show_events'::regclass
            AND appended.mode = 'RowExclusiveLock'
        """
        yield lambda: watcher.execute(query).rowcount == 1


@contextmanager
def in_the_commit(url: str) -> Iterator[Callable[[], bool]]:
    """PostgreSQL: a deferred trigger, which runs in the COMMIT, waits for a lock."""
    with outside(url, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(1)")
        holder.execute(
            "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END'"
        )
        holder.execute(
            "CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON orders "
            "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hold()"
        )
        query = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        yield lambda: holder.execute(query).rowcount == 1
        holder.execute("SELECT pg_advisory_unlock(1)")
        holder.execute("DROP FUNCTION hold CASCADE")


@contextmanager
def in_the_commit_on_sqlite(url: str) -> Iterator[Callable[[], bool]]:
    """SQLite: a reader is there, for whose end the COMMIT waits; others may not begin to read."""
    file = sa.make_url(url).database or ""
    with started(_read, file) as (_, reader), closing(sqlite3.connect(file, timeout=0)) as watcher:
        assert reader.recv() == "reading"

        def commits() -> bool:
            try:
                watcher.execute("SELECT * FROM orders").fetchall()
            except sqlite3.OperationalError as error:
                return "locked" in str(error)
            return False

        yield commits


def _read(report: Connection, file: str) -> None:
    # In a process of its own: in one process SQLite shares the lock of a reader with the next.
    reader = sqlite3.connect(file, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM orders").fetchall()
    report.send("reading")
    Event().wait()


MOMENTS: dict[str, list[Moment]] = {
    "postgresql": [before_the_events_are_written, before_the_row_is_written, in_the_commit],
    "sqlite": [in_the_commit_on_sqlite],
}


@contextmanager
def _locked(url: str, table: str) -> Iterator[Callable[[], bool]]:
    with outside(url) as holder, outside(url, autocommit=True) as watcher:
        holder.execute(f"LOCK TABLE {table} IN SHARE MODE")
        query = f"SELECT FROM pg_locks WHERE NOT granted AND relation = '{table}'::regclass"
        yield lambda: watcher.execute(query).rowcount == 1
