"""Several writers at once, threads and processes: each command counts once, in one order."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

import spry_sqla as spry
from tests.faults.domain import Add, Counter, Rename, domain
from tests.faults.ledger import read_ledger
from tests.faults.locks import outside, take_next, until_waiting
from tests.faults.waiting import LONG, until
from tests.processes import Barrier, in_processes, in_threads

pytestmark = pytest.mark.long

WRITERS = 16


@pytest.fixture
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine | None]:
    """None is the storage in memory."""
    kind = getattr(request, "param", "memory")
    if kind == "memory":
        yield None
        return
    if kind == "postgresql":
        made = sa.create_engine(request.getfixturevalue("postgres_url"))
    elif kind == "sqlite with WAL":
        made = spry.sqlite_engine(str(tmp_path / "test.db"))
    else:
        made = sa.create_engine(f"sqlite:///{tmp_path / 'test.db'}")
    domain.metadata.create_all(made)
    yield made
    made.dispose()


on_each = pytest.mark.parametrize(
    "engine", ["memory", "sqlite", "sqlite with WAL", "postgresql"], indirect=True
)
on_databases = pytest.mark.parametrize(
    "engine", ["sqlite", "sqlite with WAL", "postgresql"], indirect=True
)
on_postgresql = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)


def open_storage(engine: sa.Engine | None) -> spry.Storage | spry.MemoryStorage:
    return spry.MemoryStorage(domain) if engine is None else spry.Storage(engine, domain)


def add(counters: spry.Repository[Counter], command: Add, key: str | None = None) -> bool:
    """Whether it was stored; it is not where others were first at every attempt."""
    try:
        return counters.handle(command, idempotency_key=key).ok
    except spry.ConcurrencyError:
        return False


# One actor ---------------------------------------------------------------------------------------


@on_each
@pytest.mark.parametrize("with_keys", [False, True], ids=["", "with keys"])
def test_what_sixteen_threads_add_to_one_actor_counts_once(
    engine: sa.Engine | None, with_keys: bool
) -> None:
    counters = open_storage(engine).repository(Counter)

    def work(writer: int) -> int:
        return sum(
            add(counters, Add("ada", parts=2), f"{writer} {number}" if with_keys else None)
            for number in range(6)
        )

    stored = sum(in_threads(WRITERS, work))

    assert counters.fetch(name="ada") == Counter("ada", 2 * stored, 2 * stored)
    versions = [entry.version for entry in counters.history(name="ada")]
    assert versions == list(range(1, 2 * stored + 1))
    assert stored == 6 * WRITERS
    if engine is not None:
        ledger = read_ledger(engine).check()
        assert len(ledger.commands) == stored
        assert len(ledger.mappings) == 1


def write_from_process(number: int, barrier: Barrier, url: str, keys: bool) -> int:
    engine = sa.create_engine(url)
    counters = spry.Storage(engine, domain).repository(Counter)
    barrier.wait()
    stored = sum(
        add(counters, Add("ada", parts=2), f"{number} {each}" if keys else None)
        for each in range(4)
    )
    engine.dispose()
    return stored


@on_databases
@pytest.mark.parametrize(
    "with_keys",
    [pytest.param(False, id=""), pytest.param(True, id="with keys")],
)
def test_what_sixteen_processes_add_to_one_actor_counts_once(
    engine: sa.Engine, with_keys: bool
) -> None:
    url = engine.url.render_as_string(hide_password=False)

    stored = sum(in_processes(WRITERS, write_from_process, url, with_keys))

    counters = spry.Storage(engine, domain).repository(Counter)
    assert counters.fetch(name="ada").additions == 2 * stored == 2 * 4 * WRITERS
    ledger = read_ledger(engine).check()
    assert len(ledger.commands) == stored
    assert len(ledger.mappings) == 1


@on_each
def test_sixteen_threads_at_once_make_one_actor(engine: sa.Engine | None) -> None:
    counters = open_storage(engine).repository(Counter)

    for name in ("ada", "eve", "bob"):
        in_threads(WRITERS, lambda _: counters.handle(Add(name)))  # noqa: B023

    assert list(counters.actors()) == [{"name": "ada"}, {"name": "eve"}, {"name": "bob"}]
    assert counters.fetch(name="bob").additions == WRITERS


# One idempotency key -----------------------------------------------------------------------------


@on_each
def test_sixteen_threads_with_one_key_get_one_answer(engine: sa.Engine | None) -> None:
    counters = open_storage(engine).repository(Counter)
    counters.handle(Add("ada", by=100))

    for number in range(4):
        command, key = Add("ada", parts=3), f"the key {number}"
        before = counters.fetch(name="ada")
        answers = in_threads(
            WRITERS,
            lambda _: counters.handle(command, idempotency_key=key),  # noqa: B023
        )

        first = answers[0]
        assert all(answer == first for answer in answers)
        assert (first.original, len(first.events)) == (before, 3)
        assert first.modified == counters.fetch(name="ada")
        assert first.modified.total == before.total + 3


@on_each
def test_of_sixteen_contents_with_one_key_one_is_stored(engine: sa.Engine | None) -> None:
    counters = open_storage(engine).repository(Counter)

    def work(writer: int) -> bool:
        # Every other one is for an actor of its own: a key is one per actor type.
        name = "ada" if writer % 2 else f"ada {writer}"
        try:
            return counters.handle(Add(name, by=writer), idempotency_key="the key").ok
        except spry.KeyReused:
            return False

    answers = in_threads(WRITERS, work)

    assert sum(answers) == 1
    assert len(list(counters.actors())) == 1
    if engine is not None:
        assert len(read_ledger(engine).check().events) == 1


@pytest.fixture(params=["memory", "psycopg", "psycopg in a thread", "aiosqlite", "in a thread"])
def make_async_storage(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[], spry.AsyncStorage | spry.AsyncMemoryStorage]]:
    kind: str = request.param
    engines: list[sa.Engine | AsyncEngine] = []

    def make() -> spry.AsyncStorage | spry.AsyncMemoryStorage:
        if kind == "memory":
            return spry.AsyncMemoryStorage(domain)
        url = (
            request.getfixturevalue("postgres_url")
            if kind.startswith("psycopg")
            else f"sqlite:///{tmp_path / 'test.db'}"
        )
        plain = sa.create_engine(url)
        domain.metadata.create_all(plain)
        engines.append(plain)
        if kind.endswith("thread"):
            return spry.AsyncStorage(plain, domain)
        engines.append(create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:")))
        return spry.AsyncStorage(engines[-1], domain)

    yield make

    for engine in engines:
        if isinstance(engine, AsyncEngine):
            asyncio.run(engine.dispose())
        else:
            engine.dispose()


def test_sixteen_tasks_with_one_key_get_one_answer(
    make_async_storage: Callable[[], spry.AsyncStorage | spry.AsyncMemoryStorage],
) -> None:
    async def at_once() -> None:
        counters = make_async_storage().repository(Counter)
        command = Add("ada", parts=3)
        async with asyncio.timeout(LONG):
            answers = await asyncio.gather(
                *(counters.handle(command, idempotency_key="the key") for _ in range(WRITERS))
            )
            assert all(answer == answers[0] for answer in answers)
            assert answers[0].modified == await counters.fetch(name="ada") == Counter("ada", 3, 3)

    asyncio.run(at_once())


def test_what_sixteen_tasks_add_to_one_actor_counts_once(
    make_async_storage: Callable[[], spry.AsyncStorage | spry.AsyncMemoryStorage],
) -> None:
    async def at_once() -> None:
        counters = make_async_storage().repository(Counter)
        async with asyncio.timeout(LONG):
            answers = await asyncio.gather(
                *(counters.handle(Add("ada", parts=2)) for _ in range(WRITERS))
            )
            totals = sorted(answer.modified.total for answer in answers)
            assert totals == list(range(2, 2 * WRITERS + 2, 2))

    asyncio.run(at_once())


# One name for several ----------------------------------------------------------------------------


@on_each
def test_of_sixteen_renames_to_one_name_one_wins(engine: sa.Engine | None) -> None:
    counters = open_storage(engine).repository(Counter)
    for writer in range(WRITERS):
        counters.handle(Add(f"counter {writer}", by=writer))

    answers = in_threads(
        WRITERS, lambda writer: counters.handle(Rename(f"counter {writer}", "the best"))
    )

    (winner,) = (writer for writer, answer in enumerate(answers) if answer.ok)
    assert counters.fetch(name="the best") == Counter("the best", winner, 1)
    for writer, answer in enumerate(answers):
        if writer != winner:
            (error,) = answer.errors
            assert isinstance(error, spry.IdentifiersTaken)
            assert answer.modified == answer.original == Counter(f"counter {writer}", writer, 1)
            assert counters.fetch(name=f"counter {writer}").name == f"counter {writer}"


@on_each
def test_a_name_goes_to_a_new_actor_or_to_a_renamed_one(engine: sa.Engine | None) -> None:
    counters = open_storage(engine).repository(Counter)

    for number in range(8):
        old, new = f"old {number}", f"new {number}"
        counters.handle(Add(old, by=10))

        def work(writer: int, old: str = old, new: str = new) -> spry.Results[Counter]:
            return counters.handle(Rename(old, new) if writer else Add(new))

        added, renamed = in_threads(2, work)

        assert added.ok
        if renamed.ok:
            assert counters.fetch(name=new) == counters.fetch(name=old) == Counter(new, 11, 2)
        else:
            assert isinstance(renamed.errors[0], spry.IdentifiersTaken)
            assert counters.fetch(name=new) == Counter(new, 1, 1)
            assert counters.fetch(name=old) == Counter(old, 10, 1)


# Deadlocks ---------------------------------------------------------------------------------------


def deadlocks(engine: sa.Engine) -> int:
    """How many the database has ended since it was made."""
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT pg_stat_clear_snapshot()")
        return int(
            connection.scalar(
                sa.text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
            )
            or 0
        )


@on_postgresql
def test_two_batches_that_lock_each_other_are_both_stored(engine: sa.Engine) -> None:
    counters = spry.Storage(engine, domain).repository(Counter)
    for name in ("ada", "eve", "gate of ada", "gate of eve"):
        counters.handle(Add(name))
    url = engine.url.render_as_string(hide_password=False)

    with (
        outside(url) as holder,
        outside(url, autocommit=True) as watch,
        ThreadPoolExecutor(2) as threads,
    ):
        # Each writes its first and is held up at a gate, then wants what the other has written.
        take_next(holder, "gate of ada")
        take_next(holder, "gate of eve")
        batches = [
            threads.submit(counters.handle_many, [Add(first), Add(f"gate of {first}"), Add(last)])
            for first, last in (("ada", "eve"), ("eve", "ada"))
        ]
        until_waiting(watch, 2)
        holder.rollback()
        answers = [batch.result(LONG) for batch in batches]

    assert all(answer.ok for batch in answers for answer in batch)
    assert [counters.fetch(name=name).additions for name in ("ada", "eve")] == [3, 3]
    assert counters.fetch(name="gate of ada").additions == 2
    read_ledger(engine).check()
    until(lambda: deadlocks(engine) >= 1, "the database ended a deadlock")


@on_postgresql
def test_a_batch_that_dies_in_a_deadlock_with_another_application_is_stored_later(
    engine: sa.Engine,
) -> None:
    counters = spry.Storage(engine, domain).repository(Counter)
    counters.handle_many([Add("ada"), Add("eve")])
    url = engine.url.render_as_string(hide_password=False)

    with (
        outside(url) as other,
        outside(url, autocommit=True) as watch,
        ThreadPoolExecutor(1) as threads,
    ):
        # So that it is ours that ends, unless it has waited for a second by then.
        other.execute("SET LOCAL deadlock_timeout = '3s'")
        take_next(other, "eve")
        batch = threads.submit(counters.handle_many, [Add("ada"), Add("eve")])
        until_waiting(watch, 1)
        with suppress(psycopg.errors.DeadlockDetected):
            take_next(other, "ada")
        other.rollback()
        answers = batch.result(LONG)

    assert all(answer.ok for answer in answers)
    assert [counters.fetch(name=name).additions for name in ("ada", "eve")] == [2, 2]
    read_ledger(engine).check()
    until(lambda: deadlocks(engine) >= 1, "the database ended a deadlock")
