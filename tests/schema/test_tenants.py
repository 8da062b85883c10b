"""An engine's `schema_translate_map`: each tenant's actors in a schema of its own."""

import asyncio

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

import spry_sqla as spry
from tests.domains import player
from tests.domains.player import CreatePlayer, Hit, Player
from tests.schema.conftest import Connect


@pytest.fixture
def url(postgres_url: str) -> str:
    engine = sa.create_engine(postgres_url)
    with engine.begin() as connection:
        for tenant in ("north", "so\"u'th"):
            connection.execute(sa.schema.CreateSchema(tenant))
    engine.dispose()
    return postgres_url


def test_tenants_see_their_own_actors_only(url: str, connect: Connect) -> None:
    engine, domain = connect(url), player.domain()
    north, south = (
        engine.execution_options(schema_translate_map={None: tenant})
        for tenant in ("north", "so\"u'th")
    )
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
        spry.Storage(engine, domain)


def test_so_do_those_who_await(url: str) -> None:
    engine, domain = create_async_engine(url), player.domain()
    north = engine.execution_options(schema_translate_map={None: "north"})

    async def work() -> Player:
        async with north.begin() as connection:
            await connection.run_sync(domain.metadata.create_all)
        players = spry.AsyncStorage(north, domain).repository(Player)
        await players.handle(CreatePlayer("Ada"))
        with pytest.raises(spry.TablesMissing):
            await spry.AsyncStorage(engine, domain).check()
        state = await players.fetch(name="Ada")
        await engine.dispose()
        return state

    assert asyncio.run(work()) == Player("Ada", 100)
