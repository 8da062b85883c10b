"""Operations in a transaction of the caller's: on its Connection, or the one of its Session.

Nothing here commits, rolls back or closes what it did not open.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, cast

import sqlalchemy as sa

from spry_sqla.domain import Domain
from spry_sqla.errors import StorageError
from spry_sqla.operations import Append, Read, Unavailable
from spry_sqla.sql import postgresql, sqlite
from spry_sqla.sql.adapter import SqlAdapter
from spry_sqla.sql.statements import SchemaMap

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
        """Perform an operation; raises StorageUnavailable at once, and StorageError."""
        connection = _connection_of(self._joined, self._engine)
        if connection.closed:
            raise StorageError("the connection that was joined is closed; join an open one")
        if _autocommits(connection):
            raise StorageError(
                "the connection that was joined is in AUTOCOMMIT, where nothing can be rolled "
                "back; join one with a transaction, or use the storage itself"
            )
        if not connection.in_transaction():
            connection.begin()  # as SQLAlchemy does by itself at the first statement
        schemas = connection.get_execution_options().get("schema_translate_map")
        adapter = self._adapters.of(schemas)
        answer = adapter.perform_within(connection.connection, operation)
        if isinstance(answer, Unavailable):
            if not answer.nothing_stored:
                connection.invalidate(answer.error.__cause__)
            raise answer.error
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


def checked(joined: object, *, awaited: bool) -> Any:
    """What was given to be joined. Raises StorageError for what cannot be."""
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


def _connection_of(joined: "Transacted", engine: sa.Engine) -> sa.Connection:
    if callable(joined):  # a scoped_session
        joined = joined()
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
    return session.get_bind() if session.bind is not None else engine


def _same_database(one: sa.Engine, other: sa.Engine) -> bool:
    """Whether two engines lead to one database: two SQLite in memory never do."""
    return one.pool is other.pool or (
        _database(one) is not None and _database(one) == _database(other)
    )


def _database(engine: sa.Engine) -> tuple[Any, ...] | None:
    url = engine.url
    name = url.database
    if url.get_backend_name() == sqlite.NAME:
        if not name or name == ":memory:":
            return None
        if "uri" not in url.query:
            name = str(Path(name).resolve())
    return url.get_backend_name(), url.host, url.port, name, url.query


def _autocommits(connection: sa.Connection) -> bool:
    option = connection.get_execution_options().get("isolation_level")
    if option is None:
        option = getattr(connection.dialect, "_on_connect_isolation_level", None)
    flavor: Any = sqlite if connection.dialect.name == sqlite.NAME else postgresql
    return option == "AUTOCOMMIT" or bool(
        flavor.autocommits(connection.connection.dbapi_connection)
    )
