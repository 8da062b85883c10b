"""A storage in memory that two event loops use."""

import asyncio

import pytest

import spry_sqla as spry
from tests.domains.player import CreatePlayer, Player, domain


def test_an_idle_loop_keeps_its_transaction_when_another_loop_comes() -> None:
    storage = spry.AsyncMemoryStorage(domain())
    players = storage.repository(Player)
    with asyncio.Runner() as first, asyncio.Runner() as second:
        transaction = storage.transaction()
        within = first.run(transaction.__aenter__())
        first.run(within.repository(Player).handle(CreatePlayer("Ada")))

        with pytest.raises(spry.StorageError, match="another event loop"):
            second.run(players.fetch(name="Ada"))
        first.run(transaction.__aexit__(None, None, None))

        assert second.run(players.fetch(name="Ada")) == Player("Ada", 100)


def test_the_transaction_of_a_closed_loop_is_undone() -> None:
    storage = spry.AsyncMemoryStorage(domain())
    players = storage.repository(Player)
    with asyncio.Runner() as first:
        within = first.run(storage.transaction().__aenter__())
        first.run(within.repository(Player).handle(CreatePlayer("Ada")))

    with asyncio.Runner() as second:
        assert second.run(players.get(name="Ada")) is None


def test_a_storage_that_shares_has_the_data_of_another() -> None:
    first = spry.AsyncMemoryStorage(domain())
    second = spry.AsyncMemoryStorage(domain(), sharing=first)

    async def handled_and_fetched() -> Player:
        await first.repository(Player).handle(CreatePlayer("Ada"))
        return await second.repository(Player).fetch(name="Ada")

    assert asyncio.run(handled_and_fetched()) == Player("Ada", 100)


def test_storages_share_with_those_of_their_kind_only() -> None:
    first = spry.AsyncMemoryStorage(domain())

    with pytest.raises(spry.StorageError, match="another MemoryStorage, and was given a AsyncM"):
        spry.MemoryStorage(domain(), sharing=first)  # type: ignore[arg-type]
    with pytest.raises(spry.StorageError, match="another AsyncMemoryStorage"):
        spry.AsyncMemoryStorage(domain(), sharing=spry.MemoryStorage(domain()))  # type: ignore[arg-type]
