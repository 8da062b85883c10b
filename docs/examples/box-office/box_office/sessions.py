"""What a request is given: the storage of the shows, a session of its own, and how it commits."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, TypeVar

from fastapi import Depends, FastAPI, Request
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

import spry_sqla as spry
from box_office.database import URL
from box_office.shows import domain

T = TypeVar("T")

TRIES = 50
"""How often a request is worked on again, when another one for the same show was first."""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the storage, which raises TablesMissing before `alembic upgrade head`."""
    engine = create_async_engine(URL, pool_pre_ping=True)
    try:
        async with spry.AsyncStorage(engine, domain) as storage:
            app.state.storage = storage
            app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
            yield
    finally:
        await engine.dispose()


def _storage(request: Request) -> spry.AsyncStorage:
    storage: spry.AsyncStorage = request.app.state.storage
    return storage


async def _session(request: Request) -> AsyncIterator[AsyncSession]:
    # It is not committed here: FastAPI comes back behind the `yield` when the answer is sent.
    async with request.app.state.sessions() as session:
        yield session


Storage = Annotated[spry.AsyncStorage, Depends(_storage)]
Session = Annotated[AsyncSession, Depends(_session)]


async def committed(session: AsyncSession, work: Callable[[], Awaitable[T]]) -> T:
    """Do some work in a session and commit it; all of it again, where another writer was first.

    Raises ConcurrencyError when others were first every time.
    """
    for number in range(TRIES):
        try:
            return await _once(session, work)
        except spry.ConcurrencyError:
            await session.rollback()
            await asyncio.sleep(random.uniform(0, 0.01 * number))
    return await _once(session, work)


async def _once(session: AsyncSession, work: Callable[[], Awaitable[T]]) -> T:
    done = await work()
    await session.commit()
    return done
