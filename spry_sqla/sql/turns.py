"""Turns at the one connection of a StaticPool, which the application borrows as well.

A transaction belongs to the connection: whoever has it may end what another has begun, and its
return to the pool rolls back what is open. So an operation of ours waits until nobody else has the
connection, and nobody gets it while the operation is at work. The application waits for ours only.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy.pool import Pool

from spry_sqla.errors import StorageError, StorageUnavailable

WAIT = 30.0
"""Seconds for which others are waited for, as for a lock of a SQLite file."""

STEP = 0.001
"""Seconds between two looks: no event tells of each return of a connection that is lent twice."""


class Turns:
    """Who has the connection: threads, or with another `me` what it gives, such as tasks."""

    def __init__(self, pool: Pool, me: Callable[[], Any] = threading.get_ident) -> None:
        self._me = me
        self._changed = threading.Condition()
        self._at_work: Any = None
        self._lent: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        sa.event.listen(pool, "checkout", self._checked_out)

    @contextmanager
    def ours(self) -> Iterator[None]:
        """Keep all other threads from the connection. Raises StorageUnavailable."""
        me = self._me()
        with self._changed:
            self._changed.wait_for(lambda: self._at_work is None)
            self._at_work = me
        try:
            self._wait_for_others()
            yield
        finally:
            with self._changed:
                self._at_work = None
                self._changed.notify_all()

    def has_it(self) -> bool:
        """Whether the caller has the connection already."""
        with self._changed:
            return self._me() in self._holders()

    def _checked_out(self, _driver: Any, _record: Any, connection: Any) -> None:
        # Nothing may be raised here: the pool would close the connection, and with it the database.
        me = self._me()
        with self._changed:
            # Who has it must not wait for an operation that waits for its return.
            self._changed.wait_for(lambda: self._at_work in (None, me) or me in self._holders())
            self._lent[connection] = me

    def _wait_for_others(self) -> None:
        deadline = time.monotonic() + WAIT
        with self._changed:
            while self._holders() - {self._me()}:
                if time.monotonic() > deadline:
                    raise kept_by_others()
                self._changed.wait(STEP)

    def _holders(self) -> set[Any]:
        return {who for connection, who in self._lent.items() if connection.is_valid}


def kept_by_others() -> StorageUnavailable:
    """The error for a connection that the application did not give back in time."""
    return StorageUnavailable(
        f"the engine has one connection, and the application kept it for {WAIT:g} s; give it back "
        "sooner, or give each its own with spry_sqla.sqlite_engine(':memory:')"
    )


def in_transaction_of_application() -> StorageError:
    """The error for a transaction that is open on the very connection that ours would use."""
    return StorageError(
        "the application has a transaction open on the one connection of this engine, and ours "
        "would end it: end it first, or give each its own connection with "
        "spry_sqla.sqlite_engine(':memory:')"
    )


def in_transaction(driver: Any) -> bool:
    """Whether a transaction is open on a driver's connection, sqlite3's or psycopg's."""
    if (postgres := getattr(driver, "pgconn", None)) is not None:
        return bool(postgres.transaction_status)
    return bool(getattr(driver, "in_transaction", False))
