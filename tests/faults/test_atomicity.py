"""A failure at any statement of a command undoes all of it; order and secrecy are no luck."""

import asyncio
import logging
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

import spry_sqla as spry
from tests.faults.domain import Add, Added, Counter, Rename, Renamed, domain
from tests.faults.ledger import TABLES, read_ledger


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(database_url)
    domain.metadata.create_all(engine)
    yield engine
    engine.dispose()


def run(engine: sa.Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def all_rows(engine: sa.Engine) -> dict[str, list[Any]]:
    """Every row of every table."""
    with engine.connect() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(sa.select(table))))
            for table in domain.metadata.sorted_tables
            if sa.inspect(connection).has_table(table.name)
        }


# A failure at each statement ---------------------------------------------------------------------


def fail_at(
    engine: sa.Engine, table: str, when: str = "", how: str = "ABORT"
) -> Callable[[], None]:
    """Let inserts into a table fail; what is returned lets them pass again."""
    if engine.dialect.name == "sqlite":
        condition = f"WHEN {when}" if when else ""
        run(
            engine,
            f"CREATE TRIGGER broken AFTER INSERT ON {table} {condition} "
            f"BEGIN SELECT RAISE({how}, 'broken'); END",
        )
        return lambda: run(engine, "DROP TRIGGER broken")
    condition = f"WHEN ({when})" if when else ""
    run(
        engine,
        "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'broken %%', NEW; END $$",
        f"CREATE TRIGGER broken AFTER INSERT ON {table} FOR EACH ROW {condition} "
        "EXECUTE FUNCTION broken()",
    )
    return lambda: run(engine, f"DROP TRIGGER broken ON {table}", "DROP FUNCTION broken()")


CASES = [*((table, "") for table in TABLES), ("counter_events", "NEW.sequence = 11")]


@pytest.mark.parametrize(("table", "when"), CASES)
def test_a_statement_that_fails_leaves_every_table_as_it_was(
    engine: sa.Engine, table: str, when: str
) -> None:
    # SQLite has several ways to fail: some undo the statement, or part of it, or the transaction.
    for how in ("ABORT", "FAIL", "ROLLBACK") if engine.dialect.name == "sqlite" else ("ABORT",):
        fail_and_mend(engine, table, when, how)


def fail_and_mend(engine: sa.Engine, table: str, when: str, how: str) -> None:
    counters = spry.Storage(engine, domain).repository(Counter)
    counters.handle(Add("eve"))
    # A new actor with a snapshot: a row for each table.
    command = Add(f"ada {how}", parts=12, note="this one")
    before, known = all_rows(engine), read_ledger(engine)
    mend = fail_at(engine, table, when, how)

    for call in (
        lambda: counters.handle(command, idempotency_key=how),
        lambda: counters.handle_many([Add("eve"), command]),
    ):
        with pytest.raises(spry.StorageFailure) as failure:
            call()
        assert "this one" not in str(failure.value)
        assert all_rows(engine) == before

    mend()
    assert counters.handle(command, idempotency_key=how).modified == Counter(f"ada {how}", 12, 12)
    assert counters.fetch(name=f"ada {how}") == Counter(f"ada {how}", 12, 12)
    after = read_ledger(engine).check()
    assert len(after.commands) == len(known.commands) + 1
    assert len(after.snapshots) == len(known.snapshots) + 1


def test_a_constraint_of_another_hand_is_named_and_no_row_quoted(postgres_url: str) -> None:
    engine = sa.create_engine(postgres_url)
    domain.metadata.create_all(engine)
    counters = spry.Storage(engine, domain).repository(Counter)
    run(engine, "ALTER TABLE counter_events ADD CHECK (sequence < 2)")

    with pytest.raises(spry.StorageFailure, match="CheckViolation, SQLSTATE 23514") as failure:
        counters.handle(Add("ada", parts=2, note="xyz" + "zy"))  # it shows this line, too

    assert "xyzzy" not in "".join(traceback.format_exception(failure.value))
    assert not counters.exists(name="ada")
    engine.dispose()


def test_a_cast_of_another_hand_is_named_and_no_row_quoted(postgres_url: str) -> None:
    engine = sa.create_engine(postgres_url)
    domain.metadata.create_all(engine)
    counters = spry.Storage(engine, domain).repository(Counter)
    run(engine, "ALTER TABLE counter_events ADD CHECK (content::text::int > 0)")

    with pytest.raises(spry.StorageFailure, match=r"InvalidText.*, SQLSTATE 22P02") as failure:
        counters.handle(Add("ada", note="xyz" + "zy"))  # it shows this line, too

    assert "xyzzy" not in "".join(traceback.format_exception(failure.value))
    assert not counters.exists(name="ada")
    engine.dispose()


@pytest.mark.parametrize("table", TABLES)
def test_the_same_when_awaited(database_url: str, table: str) -> None:
    plain = sa.create_engine(database_url)
    domain.metadata.create_all(plain)
    before = all_rows(plain)
    mend = fail_at(plain, table)

    async def fail() -> None:
        engine = create_async_engine(database_url.replace("sqlite:", "sqlite+aiosqlite:"))
        storages = [spry.AsyncStorage(engine, domain), spry.AsyncStorage(plain, domain)]
        for storage in storages:
            with pytest.raises(spry.StorageFailure):
                await storage.repository(Counter).handle(Add("ada", parts=12))
            assert all_rows(plain) == before
        mend()
        for storage in storages:
            assert (await storage.repository(Counter).handle(Add("ada", parts=12))).ok
        await engine.dispose()

    asyncio.run(fail())
    read_ledger(plain).check()
    plain.dispose()


# Order -------------------------------------------------------------------------------------------

UNLIKELY_PLANS = [
    "-c enable_indexscan=off -c enable_indexonlyscan=off -c enable_bitmapscan=off",
    "-c enable_seqscan=off -c enable_sort=off -c enable_hashjoin=off",
    "-c enable_nestloop=off -c enable_indexscan=off",
    "-c debug_parallel_query=on -c min_parallel_table_scan_size=0 -c parallel_setup_cost=0",
    "-c plan_cache_mode=force_generic_plan",
]


def write_history(engine: sa.Engine) -> None:
    """Streams whose rows lie among each other; one of them is a batch of 1,500 events."""
    counters = spry.Storage(engine, domain).repository(Counter)
    for number in range(25):
        counters.handle(Add("ada", by=number))
        counters.handle(Add("eve", by=number, parts=2))
    counters.handle(Rename("ada", "ada b."))
    counters.handle(Add("bob", by=3, parts=1_500))
    for number in range(4):
        counters.handle(Add("ada b.", by=number))


def observed(engine: sa.Engine) -> list[Any]:
    """Everything that a reader can see."""
    counters = spry.Storage(engine, domain).repository(Counter)
    seen: list[Any] = [list(counters.actors())]
    for name in ("ada", "ada b.", "eve", "bob"):
        seen.append(counters.fetch(name=name))
        seen.append(counters.fetch({"name": name}, version=7))
        seen.append([(e.version, e.event, e.command) for e in counters.history(name=name)])
    return seen


def test_a_batch_keeps_its_order(engine: sa.Engine) -> None:
    counters = spry.Storage(engine, domain).repository(Counter)

    events = counters.handle(Add("ada", parts=1_500)).events
    results = counters.handle_many([Add("eve", by=number) for number in range(1_500)])

    assert [event.part for event in events] == list(range(1_500))
    assert [entry.event.part for entry in counters.history(name="ada")] == list(range(1_500))
    assert [result.events[0].by for result in results] == list(range(1_500))
    assert [entry.event.by for entry in counters.history(name="eve")] == list(range(1_500))
    assert results[-1].modified == counters.fetch(name="eve")


def test_no_order_is_luck_on_sqlite(sqlite_url: str) -> None:
    engine = sa.create_engine(sqlite_url)
    domain.metadata.create_all(engine)
    write_history(engine)
    expected = observed(engine)
    engine.dispose()

    @sa.event.listens_for(engine, "connect")
    def reverse(driver: Any, record: Any) -> None:
        driver.execute("PRAGMA reverse_unordered_selects=ON")

    assert observed(engine) == expected
    engine.dispose()


@pytest.mark.long
def test_no_order_is_luck_on_postgresql(postgres_url: str) -> None:
    engine = sa.create_engine(postgres_url)
    domain.metadata.create_all(engine)
    write_history(engine)
    expected = observed(engine)
    # Rows lie in the order of this index afterwards, which is none.
    run(
        engine,
        "CREATE INDEX shuffled ON counter_events (md5(id::text))",
        "CLUSTER counter_events USING shuffled",
        "DROP INDEX shuffled",
        "ANALYZE counter_events",
    )
    engine.dispose()

    for options in ["", *UNLIKELY_PLANS]:
        odd = sa.create_engine(postgres_url, connect_args={"options": options})
        assert observed(odd) == expected, options
        assert spry.Storage(odd, domain).repository(Counter).handle(Add("ada", by=0)).ok
        expected = observed(odd)
        odd.dispose()


# Secrets -----------------------------------------------------------------------------------------

SECRET = "the secret"


def messages(error: BaseException) -> Iterator[str]:
    """What an error says of itself."""
    yield str(error)
    yield repr(error)
    yield from getattr(error, "__notes__", ())


def test_no_error_and_no_log_says_what_is_in_the_data(
    engine: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    counters = spry.Storage(engine, domain).repository(Counter)
    secret = Add(SECRET, by=1, parts=12, note=SECRET)
    said: list[str] = []

    def provoke(error: type[Exception], call: Callable[[], object]) -> None:
        with pytest.raises(error) as caught:
            call()
        said.extend(messages(caught.value))

    for table in TABLES:
        mend = fail_at(engine, table)
        provoke(
            spry.StorageFailure,
            lambda: counters.handle(secret, idempotency_key=SECRET, metadata={SECRET: SECRET}),
        )
        mend()
    counters.handle(secret, idempotency_key=SECRET, metadata={SECRET: SECRET})
    provoke(
        spry.KeyReused, lambda: counters.handle(Add("other", note=SECRET), idempotency_key=SECRET)
    )
    counters.handle(Add("other"))
    taken = counters.handle(Rename("other", SECRET)).errors
    said += [str(error) for error in taken]
    provoke(spry.UnusableValue, lambda: counters.handle(Add(SECRET, note=SECRET + "\ud800")))
    provoke(
        spry.UnusableValue,
        lambda: counters.handle(secret, metadata={SECRET: object()}),
    )
    provoke(spry.UnusableValue, lambda: counters.handle(secret, idempotency_key=SECRET + "\0"))
    provoke(spry.UnusableIdentifiers, lambda: counters.fetch({"name": [SECRET]}))  # type: ignore[dict-item]

    other = spry.Domain(Counter, Add, Rename)
    provoke(
        spry.UnknownType,
        lambda: spry.Storage(engine, other).repository(Counter).fetch({"name": SECRET}),
    )
    run(engine, *(f'DROP TABLE "{table}"' for table in TABLES))
    provoke(spry.TablesMissing, lambda: counters.handle(secret))
    provoke(spry.TablesMissing, lambda: counters.fetch(name=SECRET))

    assert len(taken) == 1
    assert said
    assert not [text for text in said if SECRET in text]
    ours = [record for record in caplog.records if record.name.startswith("spry_sqla")]
    assert not [record for record in ours if SECRET in record.getMessage()]


def test_a_conflict_says_nothing_of_the_data_either(
    engine: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    theirs = spry.Storage(engine, domain).repository(Counter)
    theirs.handle(Add(SECRET))

    class Interrupted(Add):
        """Another writer is first while this one decides."""

        def handle(self, actor: object) -> Iterator[spry.Event | Exception]:
            theirs.handle(Add(SECRET, note=SECRET))
            yield from super().handle(actor)

    ours = spry.Domain(Counter, Add, Rename, Added, Renamed, Interrupted)
    counters = spry.Storage(engine, ours, attempts=1).repository(Counter)
    with pytest.raises(spry.ConcurrencyError) as caught:
        counters.handle(Interrupted(SECRET, note=SECRET))

    assert not [text for text in messages(caught.value) if SECRET in text]
    assert not [record for record in caplog.records if SECRET in record.getMessage()]


# Time zones --------------------------------------------------------------------------------------


@pytest.fixture
def far_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("far_zone")
def test_no_zone_of_a_server_or_a_process_shifts_a_time(engine: sa.Engine) -> None:
    if engine.dialect.name == "postgresql":
        run(engine, f"ALTER DATABASE {engine.url.database} SET timezone = 'Europe/Berlin'")
        engine.dispose()
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SHOW timezone").scalar() == "Europe/Berlin"
    before = datetime.now(UTC)
    counters = spry.Storage(engine, domain).repository(Counter)
    counters.handle(Add("ada"))
    between = datetime.now(UTC)
    counters.handle(Add("ada"))
    after = datetime.now(UTC)

    times = [entry.time for entry in counters.history(name="ada")]

    assert before - timedelta(milliseconds=1) <= times[0] <= between <= times[1] + timedelta(0)
    assert times[1] <= after + timedelta(milliseconds=1)
    assert all(time.utcoffset() == timedelta(0) for time in times)
    assert counters.fetch({"name": "ada"}, at=between).total == 1
    assert counters.fetch({"name": "ada"}, at=times[0]).total == 1
    assert counters.fetch({"name": "ada"}, at=after).total == 2
    events, commands = (
        domain.metadata.tables[f"counter_{kind}"].c for kind in ("events", "commands")
    )
    with engine.connect() as connection:
        for column in (events.created_at, commands.handled_at):
            stored = connection.execute(sa.select(column).order_by(column)).scalars()
            for at, expected in zip(stored, times, strict=True):
                assert abs(at - expected) < timedelta(seconds=1)
