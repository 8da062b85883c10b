"""A writer dies by SIGKILL at a random moment, with `--thorough` two hundred times over.

Whatever it has reported as done is there; everything else is there wholly or not at all. Each
writer goes on where the last one died, on the same data.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

import spry_sqla as spry
from tests.faults.domain import Add, Counter, Rename, domain
from tests.faults.ledger import Ledger, read_ledger
from tests.faults.waiting import LONG
from tests.processes import started

KILLS = 17  # twelve times over; the usual run is content with a third
ACTORS = 3
BATCH = 4

Writer = Callable[[Connection, str, bool, int], None]


# The writer --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """What a writer does in one call: all commands of a note, in one append."""

    note: str
    commands: tuple[Add, ...]


def steps(life: int) -> Iterator[Step]:
    """Single commands of several events, and batches over several actors; new actors, too."""
    number = 0
    while True:
        note = f"{life}.{number}"
        names = [f"counter {number % ACTORS}", f"counter of {life}"]
        size = BATCH if number % 2 else 1
        yield Step(
            note,
            tuple(
                Add(names[each % 2], parts=1 + (number + each) % 4, note=note)
                for each in range(size)
            ),
        )
        number += 1


def write(report: Connection, url: str, wal: bool, life: int) -> None:
    """Handle commands for ever, and report each as it is done."""
    engine = spry.sqlite_engine(sa.make_url(url).database or "") if wal else sa.create_engine(url)
    counters = spry.Storage(engine, domain).repository(Counter)
    for step in steps(life):
        if len(step.commands) == 1:
            done = counters.handle(step.commands[0], idempotency_key=step.note).ok
        else:
            done = all(result.ok for result in counters.handle_many(step.commands))
        if done:
            report.send(step.note)


def write_awaiting(report: Connection, url: str, wal: bool, life: int) -> None:
    """The same with tasks."""

    async def work() -> None:
        engine: AsyncEngine | sa.Engine
        if wal:
            engine = spry.sqlite_engine(sa.make_url(url).database or "")
        else:
            engine = create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:"))
        counters = spry.AsyncStorage(engine, domain).repository(Counter)
        for step in steps(life):
            if len(step.commands) == 1:
                done = (await counters.handle(step.commands[0], idempotency_key=step.note)).ok
            else:
                done = all(result.ok for result in await counters.handle_many(step.commands))
            if done:
                report.send(step.note)

    asyncio.run(work())


# Its deaths --------------------------------------------------------------------------------------


def reports_until_killed(
    target: Writer, url: str, wal: bool, life: int, chance: random.Random
) -> list[str]:
    """Start a writer, kill it at a random moment; what it had reported until then."""
    reports: list[str] = []
    with started(target, url, wal, life) as (process, reader):
        # A few come before their first report, in the midst of connecting and checking.
        enough = chance.choice([0, 1, 1, 2, 3, 5, 8])
        while len(reports) < enough:
            assert reader.poll(LONG), "the writer writes nothing"
            reports.append(reader.recv())
        moment = time.perf_counter() + chance.random() * 0.02
        while time.perf_counter() < moment:
            pass
        process.kill()
        process.join(LONG)
        try:
            while True:
                reports.append(reader.recv())
        except EOFError:
            pass
    return reports


def check(ledger: Ledger, reports: list[str], life: int) -> None:
    ledger.check()
    notes = ledger.notes
    assert set(reports) <= set(notes), "something was reported as done, and is not there"
    of_life = [step for step, _ in zip(steps(life), range(len(reports) + 1), strict=False)]
    for step in of_life:
        assert notes[step.note] in {0, len(step.commands)}, "a part of a batch is there"
    # At most the one that it died with is there without a report.
    assert sum(note.startswith(f"{life}.") for note in notes) <= len(reports) + 1


@pytest.mark.long
@pytest.mark.parametrize(
    ("target", "database", "wal"),
    [
        pytest.param(write, "sqlite_url", False, id="sqlite"),
        pytest.param(write, "sqlite_url", True, id="sqlite with WAL"),
        pytest.param(write_awaiting, "sqlite_url", False, id="aiosqlite"),
        pytest.param(write_awaiting, "sqlite_url", True, id="sqlite in a thread"),
        pytest.param(write, "postgres_url", False, id="psycopg"),
        pytest.param(write_awaiting, "postgres_url", False, id="psycopg async"),
    ],
)
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_what_a_killed_writer_reported_is_there_and_the_rest_is_whole_or_absent(
    target: Writer,
    database: str,
    wal: bool,
    seed: int,
    thorough: bool,
    request: pytest.FixtureRequest,
) -> None:
    url: str = request.getfixturevalue(database)
    engine = sa.create_engine(url)
    domain.metadata.create_all(engine)
    chance = random.Random(seed)
    reported: set[str] = set()

    for life in range(KILLS if thorough else KILLS // 3):
        reports = reports_until_killed(target, url, wal, life, chance)

        ledger = read_ledger(engine)
        check(ledger, reports, life)
        reported |= set(reports)
        assert reported <= set(ledger.notes), "something is gone that was there"

    # Those who come after work on as if nothing had been.
    counters = spry.Storage(engine, domain).repository(Counter)
    ledger = read_ledger(engine).check()
    totals = [counters.fetch(identifiers).additions for identifiers in counters.actors()]
    assert sum(totals) == len(ledger.events)
    known = next(command for command in ledger.commands.values() if command.key)
    again = Add(**known.content)
    assert counters.handle(again, idempotency_key=known.key).ok
    assert len(read_ledger(engine).commands) == len(ledger.commands)
    assert counters.handle(Rename("counter 0", "another")).ok
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    engine.dispose()
