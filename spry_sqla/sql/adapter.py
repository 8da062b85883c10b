"""Every operation on a connection; drivers' errors end here.

An operation is a function of a connection checked out of a pool, plain or (in a greenlet)
asynchronous: SQLAlchemy gives both one shape. What a connection was, it is again afterwards.
"""

from contextlib import suppress
from types import ModuleType
from typing import Any, TypeGuard

import sqlalchemy as sa
from sqlalchemy.pool import PoolProxiedConnection

from spry_sqla.domain import Domain
from spry_sqla.errors import (
    ConcurrencyError,
    StorageError,
    StorageFailure,
    StorageUnavailable,
    TablesMissing,
    TablesOutdated,
)
from spry_sqla.operations import (
    Append,
    Appended,
    Conflict,
    Holds,
    Load,
    Read,
    Unavailable,
)
from spry_sqla.schema import ALEMBIC, ActorTables, check_format, former_tables
from spry_sqla.sql import fused_postgresql, fused_sqlite, postgresql, sqlite
from spry_sqla.sql.faults import Fault
from spry_sqla.sql.statements import SchemaMap, Statement, Statements
from spry_sqla.sql.stores import SqlStores
from spry_sqla.sql.turns import in_transaction
from spry_sqla.stores import KeyTaken, append, read

_UNUSABLE_DRIVERS = {
    "libsql": "raises ValueError for all faults, so that a conflict is not known as one; use "
    "sqlite3 or aiosqlite",
    "pg8000": "tells neither the SQLSTATE of an error nor that its connection is closed; use "
    "psycopg, psycopg2 or asyncpg",
}
"""Driver → why the conformance kit fails on it, and what to use."""
_FLAVORS: dict[str, ModuleType] = {"postgresql": postgresql, "sqlite": sqlite}
_FUSED: dict[str, dict[type, Any]] = {
    "postgresql": {
        Load: fused_postgresql.load,
        Holds: fused_postgresql.holds,
        Append: fused_postgresql.append,
    },
    "sqlite": {Load: fused_sqlite.load, Holds: fused_sqlite.holds, Append: fused_sqlite.append},
}


def _append(cursor: Any, of_actor: Statements, operation: Append) -> None:
    append(SqlStores(cursor, of_actor), operation)


class SqlAdapter:
    """Every operation of a domain, on connections of one dialect.

    `composed` answers them from the four stores alone, without fused statements: slower, and the
    same; it is how the two are checked against each other. `schemas` is the
    engine's `schema_translate_map`.

    Raises StorageError for a dialect that is not supported.
    """

    def __init__(
        self,
        domain: Domain,
        dialect: sa.Dialect,
        *,
        schemas: SchemaMap = None,
        composed: bool = False,
    ) -> None:
        if dialect.driver in _UNUSABLE_DRIVERS:
            raise StorageError(f"the driver {dialect.driver} {_UNUSABLE_DRIVERS[dialect.driver]}")
        flavor = _FLAVORS.get(dialect.name)
        if flavor is None:
            raise StorageError(
                f"the database {dialect.name!r} is not supported; use PostgreSQL or SQLite"
            )
        self._domain = domain
        self._dialect = dialect
        self._schemas = schemas
        self._format = domain.shared.format
        self._flavor: Any = flavor
        self._fused = {} if composed else _FUSED[dialect.name]
        self._append_rows = self._fused.get(Append, _append)
        self._in_one_statement = flavor is postgresql and not composed
        self._statements = {
            kind.name: Statements(kind.tables, domain.shared, dialect, self._flavor, schemas)
            for kind in domain.actors
        }

    def perform(self, connection: PoolProxiedConnection, operation: Read | Append) -> Any:
        """Answer one operation, all of it, on a connection with no transaction open.

        Answers Conflict or Unavailable where that is the outcome; raises StorageFailure.
        """
        try:
            if isinstance(operation, Append):
                return self._append(connection, operation)
            return self._read(connection, operation)
        except KeyTaken:
            return Conflict()
        except Exception as error:  # noqa: BLE001  (sorted out there, and raised again)
            return self._outcome(connection, operation, error)

    def perform_within(self, connection: PoolProxiedConnection, operation: Read | Append) -> Any:
        """As `perform`, in a transaction that is open on the connection and stays open.

        It is then as it was before, but for what an append has written. Answers Conflict to a read,
        too, where the database wants the transaction to run again; Unavailable without
        `nothing_stored` where all of the transaction is lost. Raises FailedBefore, too.
        """
        driver: Any = connection.driver_connection
        was_open = in_transaction(driver)
        try:
            return self._within_savepoint(connection, operation)
        except _TransactionLost as lost:
            return Unavailable(lost.failure)
        except KeyTaken:
            return Conflict()
        except FailedBefore:
            raise
        except Exception as error:  # noqa: BLE001  (sorted out there, and raised again)
            return self._outcome(connection, operation, error, within=True, was_open=was_open)

    def _within_savepoint(self, connection: PoolProxiedConnection, operation: Read | Append) -> Any:
        of_actor = self._statements[operation.actor]
        if self._flavor is sqlite and not isinstance(operation, Append):
            return self._answer(connection, of_actor, operation)  # an error there ends nothing
        cursor = connection.cursor()
        try:
            self._flavor.begin_within(connection, cursor)
            self._set_savepoint(cursor)
            try:
                if not isinstance(operation, Append):
                    answer = self._answer(connection, of_actor, operation)
                else:
                    answer = Appended()
                    self._append_rows(cursor, of_actor, operation)
                cursor.execute("RELEASE SAVEPOINT spry_sqla")
            except BaseException as error:
                # Where this fails, too, the transaction is lost, and that is seen below.
                with suppress(Exception):
                    cursor.execute("ROLLBACK TO SAVEPOINT spry_sqla")
                    cursor.execute("RELEASE SAVEPOINT spry_sqla")
                if self._is_drivers(error) and self._flavor.has_lost(connection):
                    raise _TransactionLost(error) from error
                raise
            return answer
        finally:
            cursor.close()

    def _set_savepoint(self, cursor: Any) -> None:
        try:
            cursor.execute("SAVEPOINT spry_sqla")
        except Exception as error:
            if self._flavor.failed_before(error):
                raise FailedBefore from error
            raise

    def check(self, connection: PoolProxiedConnection) -> StorageUnavailable | None:
        """See that every table is there, with its columns, in the format that this code reads.

        Returns the error where the connection has broken, perhaps long ago; raises TablesMissing,
        TablesOutdated, StorageUnavailable, StorageFailure.
        """
        try:
            with self._flavor.reading(connection):
                self._check_table(connection, self._format)
                (version,) = self._one(connection, sa.select(sa.func.max(self._format.c.version)))
                check_format(self._format, version)
                for table in self._shared_tables():
                    self._check_table(connection, table)
                for kind in self._domain.actors:
                    self._check_actor(connection, kind.tables)
        except Exception as error:
            fault = self._fault(connection, error)
            if fault is None:
                raise
            failure = self._failure(fault, error)
            if fault is Fault.LOST and isinstance(failure, StorageUnavailable):
                _give_up(connection, error)
                failure.__cause__ = error
                return failure
            raise failure from error
        return None

    def _shared_tables(self) -> list[sa.Table]:
        shared = self._domain.shared
        if self._flavor.generated(shared.epochs):
            return [shared.epochs]
        return [shared.epochs, shared.transactions]

    def _check_actor(self, connection: PoolProxiedConnection, tables: ActorTables) -> None:
        try:
            for table in (
                tables.commands,
                tables.events,
                tables.id_map,
                tables.links,
                tables.snapshots,
            ):
                self._check_table(connection, table)
        except TablesMissing:
            self._check_renamed(connection, tables)
            raise
        self._check_renamed(connection, tables)

    def _check_renamed(self, connection: PoolProxiedConnection, tables: ActorTables) -> None:
        """See that nothing is stored under a former name of an actor. Raises TablesOutdated."""
        registered = {kind.tables.events.name for kind in self._domain.actors}
        for former in former_tables(tables.events):
            if former.name in registered or not self._has_rows(connection, former):
                continue
            if self._has_rows(connection, tables.events):
                raise TablesOutdated(
                    f"events of the actor {tables.name!r} are in {former.fullname!r}, too, where "
                    "code that knows its former name has put them after its tables were renamed; "
                    "stop that code, and move what it has stored, or drop those tables"
                )
            # As create_all leaves it, which makes what it does not find.
            raise TablesOutdated(
                f"what the actor {tables.name!r} has stored is in {former.fullname!r}, for it "
                f"had another name then; rename its tables with {ALEMBIC}"
            )

    def _has_rows(self, connection: PoolProxiedConnection, table: sa.Table) -> bool:
        """Whether a table, which need not be there, holds anything."""
        one: sa.Select[Any] = sa.select(sa.literal_column("1")).select_from(table)
        try:
            return self._one(connection, one.limit(sa.literal_column("1"))) is not None
        except Exception as error:
            if self._fault(connection, error) is Fault.NO_TABLE:
                return False
            raise

    def _check_table(self, connection: PoolProxiedConnection, table: sa.Table) -> None:
        try:
            self._one(connection, sa.select(*table.c).where(sa.false()))
        except Exception as error:
            fault = self._fault(connection, error)
            if fault is Fault.NO_TABLE:
                raise _tables_missing(f"the database has no table {table.fullname!r}") from None
            if fault is Fault.NO_COLUMN:
                raise _tables_outdated(f"the table {table.fullname!r} lacks") from error
            raise

    def _one(self, connection: PoolProxiedConnection, query: sa.Select[Any]) -> Any:
        statement = Statement(query, self._dialect, self._schemas)
        cursor = connection.cursor()
        try:
            cursor.execute(statement.text, statement.parameters({}))
            return cursor.fetchone()
        finally:
            cursor.close()

    def _read(self, connection: PoolProxiedConnection, operation: Read) -> Any:
        of_actor = self._statements[operation.actor]
        if self._flavor is sqlite:
            # Without the context manager, whose cost is that of a statement here.
            return self._answer(connection, of_actor, operation)
        with self._flavor.reading(connection):
            return self._answer(connection, of_actor, operation)

    def _answer(
        self, connection: PoolProxiedConnection, of_actor: Statements, operation: Read
    ) -> Any:
        cursor = connection.cursor()
        try:
            fused = self._fused.get(type(operation))
            if fused is not None:
                return fused(cursor, of_actor, operation)
            return read(SqlStores(cursor, of_actor), operation)
        finally:
            cursor.close()

    def _append(self, connection: PoolProxiedConnection, operation: Append) -> Appended:
        of_actor = self._statements[operation.actor]
        if self._in_one_statement:
            with self._flavor.reading(connection):
                cursor = connection.cursor()
                try:
                    self._append_rows(cursor, of_actor, operation)
                finally:
                    cursor.close()
        else:
            self._flavor.write(
                connection, lambda cursor: self._append_rows(cursor, of_actor, operation)
            )
        return Appended()

    def lost_at_commit(self, error: Exception) -> StorageError | ConcurrencyError | None:
        """What a driver's error at the COMMIT of a transaction means; None where it is no driver's.

        Where the connection broke, whether it was committed is not known.
        """
        if not self._is_drivers(error):
            return None
        if self._flavor.fault_of(error) in (Fault.DEADLOCK, Fault.TAKEN):
            return ConcurrencyError(
                "another transaction was first, and nothing of this one was stored; run it again"
            )
        return StorageUnavailable(
            f"the transaction could not be committed ({self._flavor.describe(error)}), and whether "
            "it was is not known if the connection broke; run it again with idempotency keys"
        )

    def _outcome(
        self,
        connection: PoolProxiedConnection,
        operation: Read | Append,
        error: Exception,
        *,
        within: bool = False,
        was_open: bool = False,
    ) -> Conflict | Unavailable:
        fault = self._fault(connection, error)
        if fault is None:
            raise error
        if fault in (Fault.TAKEN, Fault.DEADLOCK) and (within or isinstance(operation, Append)):
            return Conflict()
        if fault is Fault.BUSY and was_open and isinstance(operation, Append):
            # It has read before and cannot write now: SQLite does not even wait for its turn.
            return Conflict()
        failure = self._failure(fault, error, operation)
        if isinstance(failure, StorageUnavailable):
            if fault is Fault.LOST and not within:
                _give_up(connection, error)
            failure.__cause__ = error
            return Unavailable(failure, nothing_stored=fault is not Fault.LOST)
        raise failure from (None if self._flavor.quotes_rows(error) else error)

    def _is_drivers(self, error: BaseException) -> TypeGuard[Any]:
        dbapi: Any = self._dialect.dbapi
        return isinstance(error, dbapi.Error)

    def _fault(self, connection: PoolProxiedConnection, error: Exception) -> Fault | None:
        """The meaning of an error; None where it is no driver's."""
        if isinstance(error, UnicodeEncodeError):  # by the driver, for its connection's encoding
            return Fault.ENCODING
        if not self._is_drivers(error):
            return None
        driver: Any = connection.dbapi_connection
        if driver is None or self._dialect.is_disconnect(error, driver, None):
            return Fault.LOST
        fault: Fault = self._flavor.fault_of(error)
        return fault

    def _failure(
        self, fault: Fault, error: Exception, operation: Read | Append | None = None
    ) -> StorageError:
        what = self._flavor.describe(error)
        of_actor = "" if operation is None else f" of the actor {operation.actor!r}"
        match fault:
            case Fault.LOST:
                return unavailable(what)
            case Fault.BUSY | Fault.DEADLOCK:
                return StorageUnavailable(
                    "the database stayed locked by others, or by a transaction that the "
                    f"application has open around this call ({what})"
                )
            case Fault.ENCODING:
                return StorageFailure(
                    f"a text{of_actor} has a character that the database or this connection cannot "
                    f"hold ({what}), and nothing was stored; use a database of the encoding UTF8, "
                    "and connections with client_encoding=utf8"
                )
            case Fault.NO_TABLE:
                return _tables_missing(f"the tables{of_actor} are not all there")
            case Fault.NO_COLUMN:
                return _tables_outdated(f"a table{of_actor} lacks")
            case _:
                refused = (
                    "the work, and nothing was stored"
                    if isinstance(operation, Append)
                    else "to read"
                )
                said = (
                    "log (it quotes the row)" if self._flavor.quotes_rows(error) else "cause below"
                )
                return StorageFailure(
                    f"the database refused {refused} ({what}); see the {said} for what it said"
                )


def _give_up(connection: PoolProxiedConnection, error: Exception) -> None:
    """Let the pool have another connection instead, if it has not been told before."""
    if connection.dbapi_connection is not None:
        connection.invalidate(error)


class FailedBefore(Exception):
    """A statement of the caller's has failed, and the database wants it to be rolled back."""


class _TransactionLost(Exception):
    """The database has ended a caller's transaction by itself, with all that was done in it."""

    def __init__(self, error: BaseException) -> None:
        self.failure = transaction_lost(type(error).__name__)
        self.failure.__cause__ = error


def transaction_lost(what: str) -> StorageUnavailable:
    """The error for a transaction that is no more, and of which nothing was stored."""
    return StorageUnavailable(
        f"all of the transaction is lost ({what}), and nothing of it was stored; roll it back and "
        "begin a new one"
    )


def unavailable(what: str) -> StorageUnavailable:
    """The error for a database that cannot be reached."""
    return StorageUnavailable(
        f"the database cannot be reached ({what}); see that it runs, and that the engine's URL "
        "and its credentials are right"
    )


def exhausted() -> StorageUnavailable:
    """The error for a pool whose connections are all in use."""
    return StorageUnavailable(
        "no connection of the engine's pool became free in time; give connections back sooner, or "
        "give the engine a larger pool (pool_size, max_overflow, pool_timeout)"
    )


def _tables_missing(what: str) -> TablesMissing:
    return TablesMissing(
        f"{what}; make the tables with domain.metadata.create_all(engine), or with {ALEMBIC}"
    )


def _tables_outdated(what: str) -> TablesOutdated:
    return TablesOutdated(
        f"{what} a column that this version of spry_sqla needs; upgrade it with {ALEMBIC}, or, if "
        "it is not the library's, give the Domain a prefix= or a schema="
    )
