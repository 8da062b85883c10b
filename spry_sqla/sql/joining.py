"""Operations in a transaction of the caller's: on its Connection, or the one of its Session.

Nothing here commits, rolls back or closes what it did not open.
"""

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, cast

import sqlalchemy as sa

from spry_sqla.domain import Domain
from spry_sqla.errors import ConcurrencyError, StorageError
from spry_sqla.operations import Append, Conflict, Read, Unavailable
from spry_sqla.sql import postgresql, sqlite
from spry_sqla.sql.adapter import SqlAdapter, transaction_lost
from spry_sqla.sql.statements import SchemaMap
from spry_sqla.sql.turns import in_transaction

if TYPE_CHECKING:  # the ORM and greenlet, which an application without them need not load
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
    from sqlalchemy.orm import Session, scoped_session

    Transacted: TypeAlias = sa.Connection | Session | scoped_session[Any]
    AsyncTransacted: TypeAlias = AsyncConnection | AsyncSession


class Adapters:
    """The adapters of an engine: one for each `schema_translate_map` of its connections."""

    def __init__(self, domain: Domain, dialect: sa.Dialect) -> None:
        self._domain = domain
        self._dialect = dialect
        self._made: dict[frozenset[Any] | None, SqlAdapter] = {}

    def of(self, schemas: SchemaMap) -> SqlAdapter:
        """The adapter for a map. Raises StorageError for a dialect that is not supported."""
        key = None if schemas is None else frozenset(schemas.items())
        if key not in self._made:
            self._made[key] = SqlAdapter(self._domain, self._dialect, schemas=schemas)
        return self._made[key]


class Joiner:
    """Answers operations in the transaction of a Connection or a Session."""

    def __init__(self, engine: sa.Engine, adapters: Adapters, joined: "Transacted") -> None:
        self._engine = engine
        self._adapters = adapters
        self._joined = joined

    def answer(self, operation: Read | Append) -> Any:
        """Perform an operation.

        Raises StorageUnavailable and ConcurrencyError at once, and StorageError where the
        connection cannot be used so.
        """
        connection = _connection_of(self._joined, self._engine)
        _check(connection)
        if not connection.in_transaction():
            connection.begin()  # as SQLAlchemy does by itself at the first statement
        adapter = self._adapters.of(_schemas(connection, self._engine))
        at_work = connection.info.setdefault("spry_sqla at work", Lock())
        if not at_work.acquire(blocking=False):
            raise StorageError(
                "two threads or tasks use one transaction at the same moment; let one wait for the "
                "other, or give each a transaction of its own"
            )
        driver = connection.connection.driver_connection
        was_open = in_transaction(driver)
        try:
            answer = adapter.perform_within(connection.connection, operation)
        except BaseException:
            # Whoever is cancelled in between must not leave a transaction that would be rolled
            # back where it is committed.
            flavor = _flavor(connection)
            if flavor.has_lost(connection.connection) and (was_open or flavor is postgresql):
                connection.invalidate()
            raise
        finally:
            at_work.release()
        if isinstance(answer, Unavailable):
            if not answer.nothing_stored:
                connection.invalidate(answer.error.__cause__)
            raise answer.error
        if isinstance(answer, Conflict) and not isinstance(operation, Append):
            raise ConcurrencyError(
                "another transaction was first, and this one cannot go on; roll it back and run "
                "it again"
            )
        return answer


class AsyncJoiner:
    """As `Joiner`, for an AsyncConnection or an AsyncSession."""

    def __init__(self, engine: sa.Engine, adapters: Adapters, joined: "AsyncTransacted") -> None:
        self._engine = engine
        self._adapters = adapters
        self._joined: Any = joined

    async def answer(self, operation: Read | Append) -> Any:
        """As `Joiner.answer`."""
        return await self._joined.run_sync(
            lambda plain: Joiner(self._engine, self._adapters, plain).answer(operation)
        )


def checked(joined: Any, *, awaited: bool) -> Any:
    """What was given to be joined. Raises StorageError for what cannot be."""
    if hasattr(joined, "registry") and callable(joined):
        joined = joined()  # a scoped session: the one of this thread or task
    kind = type(joined).__name__
    is_async = hasattr(joined, "run_sync")
    if is_async is not awaited and (is_async or _is_plain(joined)):
        mine, other = ("AsyncStorage", "Storage") if awaited else ("Storage", "AsyncStorage")
        raise StorageError(f"{mine}.join cannot take a {kind}; {other}.join does")
    if not (is_async or _is_plain(joined)):
        wanted = "AsyncSession or an AsyncConnection" if awaited else "Session or a Connection"
        raise StorageError(f"join takes a {wanted} of SQLAlchemy, and was given a {kind}")
    return joined


def _is_plain(joined: object) -> "TypeGuard[Transacted]":
    return isinstance(joined, sa.Connection) or _is_session(joined)


def _is_session(joined: object) -> "TypeGuard[Session]":
    # By its methods, so that a scoped_session is one, too, and the ORM is not imported for it.
    return hasattr(joined, "get_bind") and hasattr(joined, "begin_nested")


def _schemas(connection: sa.Connection, engine: sa.Engine) -> SchemaMap:
    """The translation of the connection or, where it has none, of the storage: its tenant."""
    of_storage = engine.get_execution_options().get("schema_translate_map")
    schemas: SchemaMap = connection.get_execution_options().get("schema_translate_map", of_storage)
    return schemas


def _connection_of(joined: "Transacted", engine: sa.Engine) -> sa.Connection:
    connection: sa.Connection
    if not _is_session(joined):
        connection = cast("sa.Connection", joined)
    else:
        connection = joined.connection(bind_arguments={"bind": _bind_of(joined, engine)})
    if not _same_database(connection.engine, engine):
        raise StorageError(
            "what was joined is bound to another database than the storage; bind it to the "
            "storage's engine, a Session also by binds={...}"
        )
    return connection


def _bind_of(session: "Session", engine: sa.Engine) -> Any:
    """The engine of the session, or the Connection, that leads to the storage's database."""
    # What a session was given as binds= has no public name.
    binds = [session.bind, *getattr(session, "_Session__binds", {}).values()]
    for bind in binds:
        if bind is not None and _same_database(bind.engine, engine):
            return bind
    try:
        return session.get_bind()
    except sa.exc.SQLAlchemyError:
        return engine


def _check(connection: sa.Connection) -> None:
    if connection.closed:
        raise StorageError("the connection that was joined is closed; join an open one")
    if connection.invalidated:
        raise transaction_lost("its connection broke, or was cancelled")
    if _autocommits(connection):
        raise StorageError(
            "the connection that was joined is in AUTOCOMMIT, where nothing can be rolled "
            "back; join one with a transaction, or use the storage itself"
        )
    if not sqlite.has_savepoints(connection.engine):
        if connection.in_nested_transaction():
            raise StorageError(
                "the savepoint that is open was made on an engine whose savepoints are not real "
                "ones; give the storage the engine of the session, or make that engine with "
                "spry_sqla.sqlite_engine"
            )
        sqlite.keep_savepoints(connection.engine)


def _same_database(one: sa.Engine, other: sa.Engine) -> bool:
    """Whether two engines lead to one database: two SQLite in memory never do."""
    return one.pool is other.pool or (
        _database(one) is not None and _database(one) == _database(other)
    )


def _database(engine: sa.Engine) -> tuple[Any, ...] | None:
    url = engine.url
    name = url.database
    if name is None:  # in memory, or only creator= knows
        return None
    if url.get_backend_name() == sqlite.NAME:
        if not name or name == ":memory:":
            return None
        if "uri" not in url.query:
            name = str(Path(name).resolve())
    return url.get_backend_name(), url.host, url.port, name, url.query


def _autocommits(connection: sa.Connection) -> bool:
    driver = connection.connection.dbapi_connection
    return sqlite.is_autocommit(connection) or _flavor(connection).autocommits(driver)


def _flavor(connection: sa.Connection) -> Any:
    return sqlite if connection.dialect.name == sqlite.NAME else postgresql
