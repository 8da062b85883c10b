"""An engine's `schema_translate_map`: each tenant's actors in a schema of its own."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

import spry_sqla as spry
from tests.domains import player
from tests.domains.player import CreatePlayer, Hit, Player
from tests.faults.domain import Add, Counter
from tests.schema.conftest import Connect
from tests.transactions.shop import Overtaken, domain

NORTH, SOUTH = "north", "so\"u'th"


def translated(tenant: str) -> dict[str, Any]:
    return {"schema_translate_map": {None: tenant}}


def with_tenants(engine: sa.Engine, folder: Path) -> None:
    """On PostgreSQL a tenant has a schema, on SQLite a file, which is attached."""
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            for tenant in (NORTH, SOUTH):
                connection.execute(sa.schema.CreateSchema(tenant))
        return

    @sa.event.listens_for(engine, "connect")
    def attach(driver: Any, record: Any) -> None:
        cursor = driver.cursor()
        for number, tenant in enumerate((NORTH, SOUTH)):
            quoted = tenant.replace('"', '""')
            cursor.execute(f"ATTACH '{folder / f'{number}.db'}' AS \"{quoted}\"")
        cursor.close()


@pytest.fixture
def engine(database_url: str, connect: Connect, tmp_path: Path) -> sa.Engine:
    engine = connect(database_url)
    with_tenants(engine, tmp_path)
    return engine


@pytest.fixture
def tenants(engine: sa.Engine) -> list[spry.Storage]:
    return storages_of_tenants(engine)


def storages_of_tenants(engine: sa.Engine) -> list[spry.Storage]:
    """The storages of two tenants, on one engine."""
    storages = []
    for tenant in (NORTH, SOUTH):
        of_tenant = engine.execution_options(**translated(tenant))
        domain.metadata.create_all(of_tenant)
        storages.append(spry.Storage(of_tenant, domain))
    return storages


def totals(*storages: spry.Storage) -> list[int]:
    return [storage.repository(Counter).fetch(name="c").total for storage in storages]


def test_tenants_see_their_own_actors_only(engine: sa.Engine) -> None:
    domain = player.domain()
    north, south = (engine.execution_options(**translated(tenant)) for tenant in (NORTH, SOUTH))
    for tenant in (north, south):
        with pytest.raises(spry.TablesMissing):
            spry.Storage(tenant, domain)
        domain.metadata.create_all(tenant)

    of_north, of_south = (
        spry.Storage(tenant, domain).repository(Player) for tenant in (north, south)
    )
    of_north.handle_many([CreatePlayer("Ada"), *[Hit("Ada", 1)] * 12])

    assert of_south.get(name="Ada") is None
    assert of_south.handle(CreatePlayer("Ada")).ok
    assert of_north.fetch(name="Ada").hit_points == 88
    assert of_south.fetch(name="Ada").hit_points == 100
    with pytest.raises(spry.TablesMissing):
        spry.Storage(engine.execution_options(schema_translate_map={None: None}), domain)


def test_a_transaction_is_of_its_tenant(tenants: list[spry.Storage]) -> None:
    north, south = tenants
    with north.transaction() as transaction:
        transaction.repository(Counter).handle(Add("c"), idempotency_key="k")
        transaction.repository(Counter).handle(Add("c"))
    with south.transaction() as transaction:
        transaction.repository(Counter).handle(Add("c", 10), idempotency_key="k")

    assert totals(north, south) == [2, 10]


def test_two_tenants_share_a_transaction_of_the_application(
    engine: sa.Engine, tenants: list[spry.Storage]
) -> None:
    """What is joined is of the storage's tenant, where the session says nothing of tenants."""
    north, south = tenants
    with Session(engine) as session:
        north.join(session).repository(Counter).handle(Add("c", 1))
        south.join(session).repository(Counter).handle(Add("c", 10))
        assert north.join(session).repository(Counter).fetch(name="c").total == 1
        session.rollback()
        north.join(session).repository(Counter).handle(Add("c", 2))
        south.join(session).repository(Counter).handle(Add("c", 20))
        session.commit()

    assert totals(north, south) == [2, 20]


def of_engine(engine: sa.Engine) -> Session:
    return Session(engine.execution_options(**translated(SOUTH)))


def of_connection(engine: sa.Engine) -> Session:
    session = Session(engine)
    session.connection(execution_options=translated(SOUTH))
    return session


@pytest.mark.parametrize("open_session", [of_engine, of_connection], ids=lambda of: of.__name__)
def test_what_a_session_says_of_tenants_holds(
    engine: sa.Engine, tenants: list[spry.Storage], open_session: Callable[[sa.Engine], Session]
) -> None:
    with open_session(engine) as session:
        tenants[0].join(session).repository(Counter).handle(Add("c"))
        session.commit()

    assert totals(*tenants) == [0, 1]


@contextmanager
def overtaken_by(storage: spry.Storage, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def add() -> None:
        by_another.clear()
        storage.repository(Counter).handle(Add("c", 10))

    by_another = [add]
    with monkeypatch.context() as patch:
        patch.setattr(Overtaken, "by_another", by_another)
        yield


def test_a_conflict_of_one_tenant_is_none_of_the_other(
    postgres_url: str, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite, where one writes at a time, nobody comes first within a transaction."""
    engine = connect(postgres_url)
    with_tenants(engine, tmp_path)
    north, south = storages_of_tenants(engine)
    with Session(engine) as session:
        with overtaken_by(north, monkeypatch), pytest.raises(spry.ConcurrencyError):
            north.join(session).repository(Counter).handle(Overtaken("c"))
        with overtaken_by(north, monkeypatch):
            south.join(session).repository(Counter).handle(Overtaken("c"))
        session.commit()

    assert totals(north, south) == [20, 1]


def test_so_it_is_for_those_who_await(database_url: str, tmp_path: Path) -> None:
    url = database_url.replace("sqlite://", "sqlite+aiosqlite://")
    engine = create_async_engine(url, poolclass=NullPool)

    async def work() -> list[int]:
        async with engine.begin() as connection:
            await connection.run_sync(lambda plain: with_tenants(plain.engine, tmp_path))
        tenants = []
        for tenant in (NORTH, SOUTH):
            of_tenant = engine.execution_options(**translated(tenant))
            async with of_tenant.begin() as connection:
                await connection.run_sync(domain.metadata.create_all)
            tenants.append(spry.AsyncStorage(of_tenant, domain))
        north, south = tenants
        await north.repository(Counter).handle(Add("c", 1))
        async with south.transaction() as transaction:
            await transaction.repository(Counter).handle(Add("c", 10))
        async with AsyncSession(engine) as session:
            await north.join(session).repository(Counter).handle(Add("c", 2))
            await south.join(session).repository(Counter).handle(Add("c", 20))
            await session.commit()
            await session.connection(execution_options=translated(SOUTH))
            await north.join(session).repository(Counter).handle(Add("c", 100))
            await session.commit()
        async with engine.connect() as connection:
            of_south: AsyncConnection = await connection.execution_options(**translated(SOUTH))
            await north.join(of_south).repository(Counter).handle(Add("c", 200))
            await of_south.commit()
        nobody = engine.execution_options(schema_translate_map={None: None})
        with pytest.raises(spry.TablesMissing):
            await spry.AsyncStorage(nobody, domain).check()
        return [(await each.repository(Counter).fetch(name="c")).total for each in tenants]

    assert asyncio.run(work()) == [3, 330]
