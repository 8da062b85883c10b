"""Transactions in memory: who waits for whom, and for how long."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import spry_sqla as spry
from spry_sqla import memory
from tests.faults.domain import Add, Counter
from tests.transactions.shop import domain

OWN = "a transaction that the application has open around this call"
OF_OTHERS = r"a transaction of another (thread|task) has locked the storage for 0\.01 s"


def test_in_memory_threads_are_told_whose_transaction_they_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "WAIT", 0.01)
    storage = spry.MemoryStorage(domain)
    counters = storage.repository(Counter)

    with storage.transaction(), ThreadPoolExecutor(1) as threads:
        with pytest.raises(spry.StorageUnavailable, match=OWN):
            counters.fetch(name="a")
        with pytest.raises(spry.StorageUnavailable, match=OF_OTHERS):
            threads.submit(counters.fetch, name="a").result()
        with pytest.raises(spry.StorageUnavailable, match=OF_OTHERS):
            threads.submit(storage.transaction().__enter__).result()

    assert counters.handle(Add("a")).unwrap().total == 1


def test_a_loop_that_is_left_within_a_transaction_leaves_nothing() -> None:
    storage = spry.AsyncMemoryStorage(domain)

    async def begin() -> Any:
        transaction = storage.transaction()
        joined = await transaction.__aenter__()
        await joined.repository(Counter).handle(Add("a", 100))
        return transaction

    async def look() -> int:
        return (await storage.repository(Counter).handle(Add("a"))).unwrap().total

    left = asyncio.run(begin())
    assert asyncio.run(look()) == 1
    assert left


def test_tasks_wait_for_a_transaction_in_memory() -> None:
    async def work() -> None:
        storage = spry.AsyncMemoryStorage(domain)
        async with storage.transaction() as transaction:
            await transaction.repository(Counter).handle(Add("a", 1))
            with pytest.raises(spry.StorageUnavailable, match="use the repositories of the"):
                await storage.repository(Counter).fetch(name="a")
            other = asyncio.create_task(storage.repository(Counter).handle(Add("a", 10)))
            for _ in range(10):
                await asyncio.sleep(0)
            assert not other.done()
        assert (await other).original.total == 1

    asyncio.run(work())


def test_in_memory_tasks_are_told_whose_transaction_they_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "WAIT", 0.01)

    async def work() -> None:
        storage = spry.AsyncMemoryStorage(domain)
        counters = storage.repository(Counter)
        async with storage.transaction():
            with pytest.raises(spry.StorageUnavailable, match=OWN):
                await counters.fetch(name="a")
            with pytest.raises(spry.StorageUnavailable, match=OF_OTHERS):
                await asyncio.create_task(counters.fetch(name="a"))
            with pytest.raises(spry.StorageUnavailable, match=OF_OTHERS):
                await asyncio.create_task(storage.transaction().__aenter__())
        assert (await counters.handle(Add("a"))).unwrap().total == 1

    asyncio.run(work())
