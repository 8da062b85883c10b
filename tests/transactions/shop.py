"""An application with a table of its own beside our actors, in both worlds and on both databases.

Asynchronous sessions and connections are driven to the end of each call, so that each test is
written once.
"""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import NullPool

import spry_sqla as spry
from tests.domains.player import CreatePlayer, Hit, Player, PlayerCreated, PlayerHit
from tests.faults.domain import Add, Added, Counter


class Base(DeclarativeBase):
    pass


class Note(Base):
    """A row of the application's own."""

    __tablename__ = "note"
    text: Mapped[str] = mapped_column(sa.String(50), primary_key=True)


domain = spry.Domain(Counter, Add, Added, Player, CreatePlayer, Hit, PlayerCreated, PlayerHit)


class Repo(Protocol):
    """What a joined repository offers, called plainly."""

    def handle(self, command: Any, **options: Any) -> spry.Results[Any]: ...
    def fetch(self, **names: Any) -> Any: ...


class Joined(Protocol):
    def repository(self, actor: type) -> Repo: ...


class App(Protocol):
    """An application with an engine, a session and a connection of one world."""

    engine: sa.Engine
    """A plain engine on the same database, to look from outside."""

    def session(self) -> AbstractContextManager[Any]:
        """A session in a transaction, which the test ends; closed at the end of the block."""
        ...

    def connection(self) -> AbstractContextManager[Any]: ...
    def join(self, transaction: Any) -> Joined: ...
    def do(self, answer: Any) -> Any:
        """What a method of a session or a connection answers, awaited where that is needed."""
        ...


class PlainApp:
    def __init__(self, url: str) -> None:
        self.engine = sa.create_engine(url)
        _make(self.engine)
        self.storage = spry.Storage(self.engine, domain)

    def session(self) -> AbstractContextManager[Session]:
        return Session(self.engine)

    def connection(self) -> AbstractContextManager[sa.Connection]:
        return self.engine.connect()

    def join(self, transaction: Any) -> Joined:
        joined: Any = self.storage.join(transaction)
        return joined  # type: ignore[no-any-return]

    def do(self, answer: Any) -> Any:
        return answer

    def close(self) -> None:
        self.engine.dispose()


class AwaitedApp:
    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self.engine = sa.create_engine(url)
        _make(self.engine)
        self.awaited: AsyncEngine = create_async_engine(_async(url))
        self.storage = spry.AsyncStorage(self.awaited, domain)
        self.do(self.storage.check())

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

    def join(self, transaction: Any) -> Joined:
        return _Driven(self, self.storage.join(transaction))

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
    def __init__(self, app: AwaitedApp, joined: spry.JoinedAsync) -> None:
        self._app = app
        self._joined = joined

    def repository(self, actor: type) -> Repo:
        return _DrivenRepo(self._app, self._joined.repository(actor))


class _DrivenRepo:
    def __init__(self, app: AwaitedApp, repository: spry.AsyncRepository[Any]) -> None:
        self._app = app
        self._repository = repository

    def handle(self, command: Any, **options: Any) -> spry.Results[Any]:
        results: spry.Results[Any] = self._app.do(self._repository.handle(command, **options))
        return results

    def fetch(self, **names: Any) -> Any:
        return self._app.do(self._repository.fetch(**names))


def _async(url: str) -> str:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        parsed = parsed.set(drivername="sqlite+aiosqlite")
    return parsed.render_as_string(hide_password=False)


def _make(engine: sa.Engine) -> None:
    Base.metadata.create_all(engine)
    domain.metadata.create_all(engine)


def notes(engine: sa.Engine) -> list[str]:
    """The application's rows, as others see them."""
    with engine.connect() as connection:
        return [*connection.scalars(sa.select(Note.text).order_by(Note.text))]


def total(engine: sa.Engine, name: str = "c") -> int:
    """A counter, as others see it."""
    outside = sa.create_engine(engine.url, poolclass=NullPool)
    return spry.Storage(outside, domain).repository(Counter).fetch(name=name).total
