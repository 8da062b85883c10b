"""Operations in a transaction of the caller's: on its Connection, or the one of its Session.

Nothing here commits, rolls back or closes what it did not open.
"""

import operator
from inspect import iscoroutinefunction
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, cast

import sqlalchemy as sa

from spry_sqla.domain import Domain
from spry_sqla.errors import ConcurrencyError, StorageError
from spry_sqla.operations import Append, Conflict, Read, Unavailable
from spry_sqla.sql import postgresql, sqlite
from spry_sqla.sql.adapter import FailedBefore, SqlAdapter, transaction_lost
from spry_sqla.sql.statements import SchemaMap
from spry_sqla.sql.turns import in_transaction
from spry_sqla.units import at_work

if TYPE_CHECKING:  # the ORM and greenlet, which an application without them need not load
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
    from sqlalchemy.orm import Session, scoped_session

    Transacted: TypeAlias = sa.Connection | Session | scoped_session[Any]
    AsyncTransacted: TypeAlias = AsyncConnection | AsyncSession | async_scoped_session[Any]


class Adapters:
    """The adapters of a database: one for each driver and `schema_translate_map`."""

    def __init__(self, domain: Domain, dialect: sa.Dialect) -> None:
        self._domain = domain
        self._dialect = dialect
        self._made: dict[tuple[str, frozenset[Any] | None], SqlAdapter] = {}

    def of(self, schemas: SchemaMap, dialect: sa.Dialect | None = None) -> SqlAdapter:
        """The adapter for a map, and for the dialect of a connection that is joined.

        Raises StorageError for a dialect that is not supported.
        """
        dialect = dialect or self._dialect
        key = dialect.driver, None if schemas is None else frozenset(schemas.items())
        if key not in self._made:
            self._made[key] = SqlAdapter(self._domain, dialect, schemas=schemas)
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
        connection = _connection_of(_now(self._joined), self._engine)
        _check(connection)
        if not connection.in_transaction():
            connection.begin()  # as SQLAlchemy does by itself at the first statement
        if connection.dialect.name == sqlite.NAME and sqlite.begins_nothing(connection):
            raise _autocommit()
        adapter = self._adapters.of(_schemas(connection, self._engine), connection.dialect)
        busy = connection.info.setdefault("spry_sqla at work", Lock())
        if not busy.acquire(blocking=False):
            raise at_work()
        driver = connection.connection.driver_connection
        was_open = in_transaction(driver)
        try:
            answer = adapter.perform_within(connection.connection, operation)
        except FailedBefore as failed:
            raise StorageError(
                "a statement has failed in the transaction that was joined, and PostgreSQL refuses "
                "others in it; roll back to a savepoint from before that statement, or all of it"
            ) from failed.__cause__
        except BaseException:
            # Whoever is cancelled in between must not leave a transaction that would be rolled
            # back where it is committed.
            flavor = _flavor(connection)
            if flavor.has_lost(connection.connection) and (was_open or flavor is postgresql):
                connection.invalidate()
            raise
        finally:
            busy.release()
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
        return await _now(self._joined).run_sync(
            lambda plain: Joiner(self._engine, self._adapters, plain).answer(operation)
        )


def checked(joined: Any, *, awaited: bool) -> Any:
    """What was given to be joined. Raises StorageError for what cannot be."""
    kind = type(joined).__name__
    is_async = iscoroutinefunction(getattr(joined, "commit", None))
    if is_async is not awaited and _is_transacted(joined):
        mine, other = ("AsyncStorage", "Storage") if awaited else ("Storage", "AsyncStorage")
        raise StorageError(f"{mine}.join cannot take a {kind}; {other}.join does")
    if not _is_transacted(joined):
        wanted = "AsyncSession or an AsyncConnection" if awaited else "Session or a Connection"
        raise StorageError(f"join takes a {wanted} of SQLAlchemy, and was given a {kind}")
    return joined


def _now(joined: Any) -> Any:
    """Of a scoped session the one that this thread or task has now: it may be another each time."""
    return joined() if hasattr(joined, "registry") and callable(joined) else joined


def _is_transacted(joined: object) -> bool:
    return hasattr(joined, "begin_nested") and hasattr(joined, "execute")


def _is_session(joined: object) -> "TypeGuard[Session]":
    # By its methods, so that a scoped_session is one, too, and the ORM is not imported for it.
    return hasattr(joined, "get_bind") and hasattr(joined, "begin_nested")


def _schemas(connection: sa.Connection, engine: sa.Engine) -> SchemaMap:
    """The translation of the connection and, of schemas that it does not name, of the storage."""
    maps = [
        each.get_execution_options().get("schema_translate_map") for each in (engine, connection)
    ]
    return {**(maps[0] or {}), **(maps[1] or {})} if any(maps) else None


def _connection_of(joined: "Transacted", engine: sa.Engine) -> sa.Connection:
    connection: sa.Connection
    if not _is_session(joined):
        connection = cast("sa.Connection", joined)
    else:
        connection = joined.connection(bind_arguments={"bind": _bind_of(joined, engine)})
    if not _same_database(connection.engine, engine):
        raise StorageError(
            "what was joined is bound to another database than the storage; bind it to the "
            "storage's engine, a Session also by binds={...}; where its own get_bind decides, join "
            "session.connection(bind_arguments=...)"
        )
    return connection


def _bind_of(session: "Session", engine: sa.Engine) -> Any:
    """The engine of the session, or the Connection, that leads to the storage's database.

    Of several the one that is nearest to the storage's engine; the session's rows go there, too.
    """
    binds = [bind for bind in (session.bind, *session.binds.values()) if bind is not None]
    for is_near in (operator.is_, _same_pool, _same_database):
        for bind in binds:
            if is_near(bind.engine, engine):
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
        raise _autocommit()
    if not sqlite.has_savepoints(connection.engine):
        if connection.in_nested_transaction():
            raise StorageError(
                "the savepoint that is open was made on an engine whose savepoints are not real "
                "ones; give the storage the engine of the session, or make that engine with "
                "spry_sqla.sqlite_engine"
            )
        sqlite.keep_savepoints(connection.engine)


def _autocommit() -> StorageError:
    return StorageError(
        "the connection is in AUTOCOMMIT, where nothing can be rolled back; use one with a "
        "transaction, or the storage itself"
    )


def _same_pool(one: sa.Engine, other: sa.Engine) -> bool:
    return one.pool is other.pool


def _same_database(one: sa.Engine, other: sa.Engine) -> bool:
    """Whether two engines lead to one database: two SQLite in memory never do."""
    return _same_pool(one, other) or (
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
        if "uri" in url.query:
            return sqlite.NAME, name, url.query
        return sqlite.NAME, str(Path(name).resolve())
    place = url.query.get("host", url.host), str(url.query.get("port", url.port))
    return (url.get_backend_name(), *place, name)


def _autocommits(connection: sa.Connection) -> bool:
    driver = connection.connection.dbapi_connection
    return sqlite.is_autocommit(connection) or _flavor(connection).autocommits(driver)


def _flavor(connection: sa.Connection) -> Any:
    return sqlite if connection.dialect.name == sqlite.NAME else postgresql
