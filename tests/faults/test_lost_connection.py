"""A connection that breaks at any moment: the caller gets the right result, events are there once.

A proxy cuts TCP connections, sessions are terminated by the server, and the server crashes.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

import spry_sqla as spry
from tests.faults.domain import Add, Counter, domain
from tests.faults.ledger import Ledger, read_ledger
from tests.faults.locks import outside, pids, until_waiting
from tests.faults.proxy import Cut, Proxy, proxied
from tests.faults.waiting import LONG, until
from tests.postgres import PostgresServer

Handle = Callable[..., spry.Results[Counter]]


@pytest.fixture
def proxy(tcp_server: PostgresServer) -> Iterator[Proxy]:
    with proxied(int(tcp_server.settings["port"])) as proxy:
        yield proxy


@pytest.fixture
def watch(tcp_url: str) -> Iterator[psycopg.Connection]:
    """A session that sees the others."""
    with outside(tcp_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def ledger(tcp_url: str) -> Iterator[Callable[[], Ledger]]:
    """What is stored, and that it is whole."""
    engine = sa.create_engine(tcp_url)
    yield lambda: read_ledger(engine).check()
    engine.dispose()


class Sync:
    """A storage on an Engine."""

    def __init__(self, url: str, **options: Any) -> None:
        self.engine = sa.create_engine(url, **options)
        self._counters = spry.Storage(self.engine, domain).repository(Counter)

    def handle(self, command: Add, key: str | None = None) -> spry.Results[Counter]:
        return self._counters.handle(command, idempotency_key=key)

    def fetch(self, name: str) -> Counter:
        return self._counters.fetch(name=name)

    def close(self) -> None:
        self.engine.dispose()


class Async:
    """The same on an AsyncEngine, each call run to its end."""

    def __init__(self, url: str, **options: Any) -> None:
        self._engine = create_async_engine(url, **options)
        self._counters = spry.AsyncStorage(self._engine, domain).repository(Counter)
        self._runner = asyncio.Runner()

    def handle(self, command: Add, key: str | None = None) -> spry.Results[Counter]:
        return self._runner.run(self._counters.handle(command, idempotency_key=key))

    def fetch(self, name: str) -> Counter:
        return self._runner.run(self._counters.fetch(name=name))

    def close(self) -> None:
        self._runner.run(self._engine.dispose())
        self._runner.close()


Client = Sync | Async


@pytest.fixture(params=[Sync, Async], ids=["sync", "async"])
def client(request: pytest.FixtureRequest, proxy: Proxy, tcp_url: str) -> Iterator[Client]:
    """A storage behind the proxy, which has worked before."""
    client: Client = request.param(proxy.url(tcp_url))
    client.handle(Add("ada", by=100))
    yield client
    client.close()


@pytest.fixture
def direct(tcp_url: str) -> Iterator[Sync]:
    """A storage that does not go through the proxy."""
    client = Sync(tcp_url)
    yield client
    client.close()


def in_background(client: Client, *arguments: Any) -> "Future[spry.Results[Counter]]":
    """Begin to handle a command."""
    threads = ThreadPoolExecutor(1)
    try:
        return threads.submit(client.handle, *arguments)
    finally:
        threads.shutdown(wait=False)


# The network ------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, "the key"])
@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER, Cut.ANSWERED])
def test_an_append_whose_connection_is_cut_is_stored_once(
    client: Client, proxy: Proxy, ledger: Callable[[], Ledger], cut: Cut, key: str | None
) -> None:
    rule = proxy.cut("this one", cut)

    result = client.handle(Add("ada", parts=3, note="this one"), key)

    assert rule.hit.wait(LONG)
    assert result.original == Counter("ada", 100, 1)
    assert result.modified == client.fetch("ada") == Counter("ada", 103, 4)
    assert [event.part for event in result.events] == [0, 1, 2]
    assert ledger().notes["this one"] == 1
    assert client.handle(Add("ada")).modified.total == 104


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER, Cut.ANSWERED])
def test_the_first_append_of_an_actor_is_stored_once_too(
    client: Client, proxy: Proxy, ledger: Callable[[], Ledger], cut: Cut
) -> None:
    rule = proxy.cut("this one", cut)

    result = client.handle(Add("eve", parts=12, note="this one"))

    assert rule.hit.is_set()
    assert result.original == Counter()
    assert result.modified == client.fetch("eve") == Counter("eve", 12, 12)
    assert ledger().notes["this one"] == 1


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER, Cut.ANSWERED])
def test_a_load_whose_connection_is_cut_is_made_again(
    client: Client, proxy: Proxy, ledger: Callable[[], Ledger], cut: Cut
) -> None:
    # A load asks who has used the key; so does the append, which comes later.
    rule = proxy.cut("the key", cut, times=2)

    result = client.handle(Add("ada", note="this one"), "the key")

    assert rule.times == 0
    assert result.modified == client.fetch("ada") == Counter("ada", 101, 2)
    assert ledger().notes["this one"] == 1


def test_an_append_that_is_cut_again_and_again_is_stored_once(
    client: Client, proxy: Proxy, ledger: Callable[[], Ledger]
) -> None:
    proxy.cut("this one", Cut.BEFORE, times=2)
    answered = proxy.cut("this one", Cut.ANSWERED)

    result = client.handle(Add("ada", note="this one"))

    assert answered.hit.is_set()
    assert result.modified == client.fetch("ada") == Counter("ada", 101, 2)
    assert ledger().notes["this one"] == 1


def test_an_append_that_can_never_be_sent_ends_in_an_error_and_stores_nothing(
    client: Client, proxy: Proxy, ledger: Callable[[], Ledger]
) -> None:
    rule = proxy.cut("this one", Cut.BEFORE, times=1_000)

    with pytest.raises(spry.StorageUnavailable, match="idempotency_key"):
        client.handle(Add("ada", note="this one"), "the key")

    assert rule.times > 900
    assert ledger().notes["this one"] == 0
    rule.times = 0
    assert client.handle(Add("ada", note="this one"), "the key").modified.total == 101


def test_an_append_of_unknown_outcome_may_be_handled_again_with_its_key(
    client: Client, proxy: Proxy, ledger: Callable[[], Ledger]
) -> None:
    rule = proxy.cut("the key", Cut.ANSWERED, times=1_000)

    with pytest.raises(spry.StorageUnavailable):
        client.handle(Add("ada", parts=2, note="this one"), "the key")

    rule.times = 0
    result = client.handle(Add("ada", parts=2, note="this one"), "the key")
    assert (result.original.total, result.modified.total) == (100, 102)
    assert ledger().notes["this one"] == 1


def test_an_append_that_arrives_late_is_not_stored_twice(
    client: Client, proxy: Proxy, ledger: Callable[[], Ledger]
) -> None:
    late = proxy.cut("this one", Cut.LATE)

    result = client.handle(Add("ada", note="this one"))
    assert ledger().notes["this one"] == 1
    proxy.release()

    assert late.answered.wait(LONG)
    assert result.modified == client.fetch("ada") == Counter("ada", 101, 2)
    assert ledger().notes["this one"] == 1


@pytest.mark.parametrize("key", [None, "the key"])
def test_an_append_that_is_still_running_when_it_is_cut_is_stored_once(
    client: Client,
    proxy: Proxy,
    tcp_url: str,
    watch: psycopg.Connection,
    ledger: Callable[[], Ledger],
    key: str | None,
) -> None:
    with outside(tcp_url) as holder:
        holder.execute("LOCK TABLE counter_events IN SHARE ROW EXCLUSIVE MODE")
        rule = proxy.cut("this one", Cut.AFTER)
        answer = in_background(client, Add("ada", parts=2, note="this one"), key)
        assert rule.hit.wait(LONG)
        until_waiting(watch, 2)  # the one that was cut, and the one that is tried again
        holder.rollback()

    assert answer.result(LONG).modified == client.fetch("ada") == Counter("ada", 102, 3)
    assert rule.answered.wait(LONG)
    assert ledger().notes["this one"] == 1


def test_an_append_that_outlives_its_caller_is_found_by_its_key(
    client: Client,
    proxy: Proxy,
    tcp_url: str,
    watch: psycopg.Connection,
    ledger: Callable[[], Ledger],
) -> None:
    with outside(tcp_url) as holder:
        holder.execute("LOCK TABLE counter_events IN SHARE ROW EXCLUSIVE MODE")
        rule = proxy.cut("this one", Cut.AFTER, times=1_000)
        with pytest.raises(spry.StorageUnavailable):
            client.handle(Add("ada", note="this one"), "the key")
        rule.times = 0
        until_waiting(watch, 2)
        again = in_background(client, Add("ada", note="this one"), "the key")
        holder.rollback()

    assert again.result(LONG).modified == client.fetch("ada") == Counter("ada", 101, 2)
    assert ledger().notes["this one"] == 1


def test_another_writer_comes_between_an_append_that_is_cut_and_its_repetition(
    client: Client, direct: Sync, proxy: Proxy, ledger: Callable[[], Ledger]
) -> None:
    late = proxy.cut("this one", Cut.LATE)
    answer = in_background(client, Add("ada", note="this one"))
    assert late.hit.wait(LONG)
    for _ in range(3):
        direct.handle(Add("ada", by=10))
    proxy.release()

    assert answer.result(LONG).ok
    assert late.answered.wait(LONG)
    assert client.fetch("ada") == Counter("ada", 131, 5)
    assert ledger().notes["this one"] == 1


def test_a_fetch_goes_on_after_all_connections_were_cut(client: Client, proxy: Proxy) -> None:
    for _ in range(3):
        proxy.cut_all()

        assert client.fetch("ada").total == 100


# The server -------------------------------------------------------------------------------------


def terminate(watch: psycopg.Connection, sessions: list[int]) -> None:
    for pid in sessions:
        watch.execute("SELECT pg_terminate_backend(%s)", [pid])
    until(lambda: not set(sessions) & set(pids(watch)), "the sessions are gone")


@pytest.mark.parametrize("size", [1, 8])
def test_sessions_that_were_terminated_in_the_pool_are_replaced(
    tcp_url: str, watch: psycopg.Connection, size: int
) -> None:
    client = Sync(tcp_url, pool_size=size)
    connections = [client.engine.connect() for _ in range(size)]
    for connection in connections:
        connection.close()
    assert len(pids(watch)) == size

    for number in range(1, 3):
        terminate(watch, pids(watch))
        assert client.handle(Add("ada")).modified.total == number

    terminate(watch, pids(watch))
    assert client.fetch("ada").total == 2
    client.close()


@pytest.mark.parametrize("world", ["sync", "in a thread", "async"])
def test_a_storage_is_opened_on_a_pool_whose_sessions_were_terminated(
    tcp_url: str, watch: psycopg.Connection, world: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def awaited(engine: sa.Engine | AsyncEngine) -> int:
        if isinstance(engine, AsyncEngine):
            connections = [engine.connect() for _ in range(2)]
            for connection in connections:
                await connection.start()
            for connection in connections:
                await connection.close()
        terminate(watch, pids(watch))
        async with spry.AsyncStorage(engine, domain) as storage:
            total = (await storage.repository(Counter).handle(Add("ada"))).modified.total
        if isinstance(engine, AsyncEngine):
            await engine.dispose()
        return total

    if world == "async":
        assert asyncio.run(awaited(create_async_engine(tcp_url))) == 1
    else:
        engine = sa.create_engine(tcp_url)
        for pooled in [engine.connect() for _ in range(2)]:
            pooled.close()
        if world == "sync":
            terminate(watch, pids(watch))
            storage = spry.Storage(engine, domain)
            assert storage.repository(Counter).handle(Add("ada")).modified.total == 1
        else:
            assert asyncio.run(awaited(engine)) == 1
        engine.dispose()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("kind", [Sync, Async], ids=["sync", "async"])
def test_a_session_that_is_terminated_while_it_appends_has_stored_nothing(
    kind: type[Client], tcp_url: str, watch: psycopg.Connection, ledger: Callable[[], Ledger]
) -> None:
    client = kind(tcp_url)
    client.handle(Add("ada"))

    with outside(tcp_url) as holder:
        holder.execute("LOCK TABLE counter_events IN SHARE ROW EXCLUSIVE MODE")
        answer = in_background(client, Add("ada", parts=2, note="this one"))
        for _ in range(2):
            until_waiting(watch, 1)
            waiting = watch.execute(
                "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            ).fetchall()
            terminate(watch, [pid for (pid,) in waiting])
        holder.rollback()

    assert answer.result(LONG).modified == client.fetch("ada") == Counter("ada", 3, 3)
    assert ledger().notes["this one"] == 1
    client.close()


@pytest.mark.long
@pytest.mark.parametrize("kind", [Sync, Async], ids=["sync", "async"])
def test_a_server_that_crashed_and_came_back_is_used_again(
    kind: type[Client], tcp_server: PostgresServer, tcp_url: str
) -> None:
    client = kind(tcp_url)
    done = 0
    for _ in range(3):
        done = client.handle(Add("ada")).unwrap().total
    tcp_server.halt("immediate")

    with pytest.raises(spry.StorageUnavailable):
        client.handle(Add("ada"), "the key")
    with pytest.raises(spry.StorageUnavailable):
        client.fetch("ada")
    tcp_server.start()

    # What was reported is there after the crash, and what was refused is not.
    assert client.fetch("ada").total == done == 3
    assert client.handle(Add("ada"), "the key").modified.total == 4
    client.close()


@pytest.mark.long
def test_commands_while_the_server_restarts_count_once_or_say_that_it_is_away(
    tcp_server: PostgresServer, tcp_url: str, ledger: Callable[[], Ledger]
) -> None:
    client = Sync(tcp_url)
    stored, doubtful, stop = 0, 0, False

    def write() -> None:
        nonlocal stored, doubtful
        while not stop:
            try:
                client.handle(Add("ada"))
                stored += 1
            except spry.StorageUnavailable:
                doubtful += 1

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write)
        for mode in ("immediate", "fast"):
            before = stored
            until(lambda before=before: stored > before + 5 or writing.done(), "it writes")  # type: ignore[misc]
            tcp_server.halt(mode)
            tcp_server.start()
        before = stored
        until(lambda: stored > before + 5 or writing.done(), "it writes again")
        stop = True
        writing.result(LONG)

    additions = client.fetch("ada").additions
    assert stored <= additions <= stored + doubtful
    assert len(ledger().events) == additions
    client.close()
