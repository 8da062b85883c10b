"""An application with a table of its own beside our actors, in both worlds and on both databases.

Asynchronous sessions and connections are driven to the end of each call, so that each test is
written once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import NullPool

import spry_sqla as spry
from spry_conformance.faces import AwaitedFace, AwaitedRepository, Face, PlainFace, Repo
from tests.domains.player import CreatePlayer, Hit, Player, PlayerCreated, PlayerHit
from tests.faults.domain import Add, Added, Counter


class Base(DeclarativeBase):
    pass


class Note(Base):
    """A row of the application's own."""

    __tablename__ = "note"
    text: Mapped[str] = mapped_column(sa.String(50), primary_key=True)


@dataclass(frozen=True)
class Overtaken(Add):
    """Another writer adds, and commits, while this one decides."""

    by_another: ClassVar[list[Callable[[], object]]] = []

    def handle(self, actor: object) -> Iterator[spry.Event | Exception]:
        for work in self.by_another:
            work()
        yield from super().handle(actor)


domain = spry.Domain(
    *(Counter, Add, Overtaken, Added),
    *(Player, CreatePlayer, Hit, PlayerCreated, PlayerHit),
)


class Joined(Protocol):
    def repository(self, actor: type) -> Repo[Any]: ...


class App(Protocol):
    """An application with an engine, a session and a connection of one world."""

    engine: sa.Engine
    """A plain engine on the same database, to look from outside."""
    store: Face
    """The storage itself."""

    def session(self) -> AbstractContextManager[Any]:
        """A session in a transaction, which the test ends; closed at the end of the block."""
        ...

    def connection(self) -> AbstractContextManager[Any]: ...

    def transaction(self) -> AbstractContextManager["Joined"]:
        """`storage.transaction()`."""
        ...

    def join(self, transaction: Any) -> Joined: ...
    def do(self, answer: Any) -> Any:
        """What a method of a session or a connection answers, awaited where that is needed."""
        ...


class PlainApp:
    """`options` are those of `create_engine`."""

    def __init__(self, url: str, **options: Any) -> None:
        self.engine = sa.create_engine(url, **options)
        _make(self.engine)
        self.storage = spry.Storage(self.engine, domain)
        self.store: Face = PlainFace(self.storage)

    def session(self) -> AbstractContextManager[Session]:
        return Session(self.engine)

    def connection(self) -> AbstractContextManager[sa.Connection]:
        return self.engine.connect()

    def transaction(self) -> AbstractContextManager[Any]:
        return self.storage.transaction()

    def join(self, transaction: Any) -> Joined:
        joined: Any = self.storage.join(transaction)
        return joined  # type: ignore[no-any-return]

    def do(self, answer: Any) -> Any:
        return answer

    def close(self) -> None:
        self.engine.dispose()


class AwaitedApp:
    """`options` are those of `create_async_engine`."""

    def __init__(self, url: str, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self.engine = sa.create_engine(
            url, poolclass=NullPool, connect_args=options.get("connect_args", {})
        )
        self.awaited: AsyncEngine = create_async_engine(_async(url), **options)
        self.do(self._make())
        self.storage = spry.AsyncStorage(self.awaited, domain)
        self.do(self.storage.check())
        self.store: Face = AwaitedFace(self.storage, self._runner)

    async def _make(self) -> None:
        async with self.awaited.begin() as connection:
            await connection.run_sync(_make)

    @contextmanager
    def session(self) -> Iterator[AsyncSession]:
        session = AsyncSession(self.awaited)
        try:
            yield session
        finally:
            self.do(session.close())

    @contextmanager
    def connection(self) -> Iterator[Any]:
        connection = self.awaited.connect()
        self.do(connection.start())
        try:
            yield connection
        finally:
            self.do(connection.close())

    @contextmanager
    def transaction(self) -> Iterator["Joined"]:
        transaction = self.storage.transaction()
        joined = self.do(transaction.__aenter__())
        try:
            yield _Driven(self._runner, joined)
        except BaseException as error:
            self.do(transaction.__aexit__(type(error), error, None))
            raise
        self.do(transaction.__aexit__(None, None, None))

    def join(self, transaction: Any) -> Joined:
        return _Driven(self._runner, self.storage.join(transaction))

    def do(self, answer: Any) -> Any:
        if not isinstance(answer, Awaitable):
            return answer

        async def awaited() -> Any:
            return await answer

        return self._runner.run(awaited())

    def close(self) -> None:
        self.do(self.awaited.dispose())
        self._runner.close()
        self.engine.dispose()


class _Driven:
    def __init__(self, runner: asyncio.Runner, joined: spry.JoinedAsync) -> None:
        self._runner = runner
        self._joined = joined

    def repository(self, actor: type) -> Repo[Any]:
        return AwaitedRepository(self._runner, self._joined.repository(actor))


def _async(url: str) -> str:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        parsed = parsed.set(drivername="sqlite+aiosqlite")
    return parsed.render_as_string(hide_password=False)


def _make(bind: sa.Engine | sa.Connection) -> None:
    Base.metadata.create_all(bind)
    domain.metadata.create_all(bind)


def notes(engine: sa.Engine) -> list[str]:
    """The application's rows, as others see them."""
    with engine.connect() as connection:
        return [*connection.scalars(sa.select(Note.text).order_by(Note.text))]


def total(engine: sa.Engine, name: str = "c") -> int:
    """A counter, as others see it."""
    outside = sa.create_engine(engine.url, poolclass=NullPool)
    return spry.Storage(outside, domain).repository(Counter).fetch(name=name).total
