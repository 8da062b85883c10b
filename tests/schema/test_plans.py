"""No operation reads all of a table, however much is stored: what the databases plan to do."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from spry_sqla.identity import canonical
from spry_sqla.operations import (
    NO_ID,
    Holds,
    Load,
    Position,
    Read,
    ReadActors,
    ReadCommands,
    ReadEvents,
    ReadHistory,
    Resolve,
)
from spry_sqla.reading import target_named
from spry_sqla.sql.adapter import SqlAdapter
from tests.benchmarks.game import Player, new_domain
from tests.benchmarks.stock import name_of, stock_postgres, stock_sqlite

DOMAIN = new_domain()
KIND = DOMAIN.actor(Player)
TARGETS = tuple(
    target_named(KIND.name, canonical({"name": name_of(number)})) for number in range(100)
)
ONE = TARGETS[:1]
ID = "1ef00000000060008000000000000000"
POSITIONS = tuple(Position(*target, "main", target.native_id, ID) for target in TARGETS)

OPERATIONS: dict[str, Read] = {
    "load": Load(KIND.name, "main", ONE, KIND.fingerprint),
    "load without snapshots": Load(KIND.name, "main", ONE, None),
    "load with keys": Load(KIND.name, "main", ONE, KIND.fingerprint, ("a", "b")),
    "load a version": Load(KIND.name, "main", ONE, KIND.fingerprint, version=5),
    "load a time": Load(KIND.name, "main", ONE, KIND.fingerprint, until="f" * 32),
    "load many": Load(KIND.name, "main", TARGETS, KIND.fingerprint),
    "load many with keys": Load(KIND.name, "main", TARGETS, KIND.fingerprint, ("a", "b")),
    "load many for another origin": Load(KIND.name, "elsewhere", TARGETS, KIND.fingerprint),
    "events": ReadEvents(KIND.name, ONE[0].native_id, {"main": 3}),
    "history": ReadHistory(KIND.name, ONE[0].native_id, {"main": 3}),
    "commands": ReadCommands(KIND.name, (ID, ID[::-1])),
    "actors": ReadActors(KIND.name, NO_ID, None, 10),
    "resolve": Resolve(KIND.name, "main", ONE[0]),
    "hold": Holds(KIND.name, POSITIONS[:1], ()),
    "hold many with keys": Holds(KIND.name, POSITIONS, ("a", "b")),
}


class Recorder:
    """A connection and its cursor, which remembers what was sent."""

    def __init__(self, connection: Any) -> None:
        self._cursor = connection.cursor()
        self.dbapi_connection = connection.dbapi_connection
        self.sent: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def cursor(self) -> "Recorder":
        return self

    def execute(self, text: str, values: Any) -> Any:
        self.sent.append((text, values))
        return self._cursor.execute(text, values)

    def close(self) -> None:
        """It is needed again."""

    def plans(self, explain: str) -> list[str]:
        return [self._plan(explain + text, values) for text, values in self.sent]

    def generic_plans(self) -> list[str]:
        """What PostgreSQL plans for any values, as it does for a statement that was prepared."""
        return [self._generic_plan(text, values) for text, values in self.sent]

    def _generic_plan(self, text: str, values: Any) -> str:
        numbers = {
            name: f"${number}" + "::bytea" * isinstance(value, bytes)
            for number, (name, value) in enumerate(values.items(), 1)
        }
        numbered = re.sub(r"%\((\w+)\)s", lambda named: numbers[named[1]], text)
        return self._plan("EXPLAIN (GENERIC_PLAN) " + numbered, None, prepare=False)

    def _plan(self, text: str, values: Any, **how: bool) -> str:
        self._cursor.execute(text, values, **how)
        return "\n".join(str(row[-1]) for row in self._cursor.fetchall())


@pytest.fixture(scope="module")
def stocked(postgres: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Databases with many players, by their kind."""
    with _stocked(postgres, tmp_path_factory, 2_000, 10) as engines:
        yield engines


@pytest.fixture(scope="module")
def long_streams(postgres: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Databases with few players of many events, by their kind."""
    with _stocked(postgres, tmp_path_factory, 2, 20_000) as engines:
        yield engines


@contextmanager
def _stocked(
    postgres: Any, tmp_path_factory: pytest.TempPathFactory, players: int, events: int
) -> Iterator[Any]:
    engines = {}
    with postgres.database() as url:
        engines["postgresql"] = sa.create_engine(url)
        engines["sqlite"] = sa.create_engine(f"sqlite:///{tmp_path_factory.mktemp('plans')}/a.db")
        for engine in engines.values():
            DOMAIN.metadata.create_all(engine)
        name = engines["postgresql"].url.database
        stock_postgres(postgres.conninfo(name), DOMAIN, Player, players, events)
        stock_sqlite(str(engines["sqlite"].url.database), DOMAIN, Player, players, events)
        for engine in engines.values():
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("ANALYZE")
        yield engines
        for engine in engines.values():
            engine.dispose()


COMPOSED = [
    pytest.param(False, id="fused"),
    pytest.param(True, id="composed", marks=pytest.mark.long),
]


@pytest.mark.parametrize("composed", COMPOSED)
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_no_table_is_read_as_a_whole(
    stocked: Any, kind: str, operation: Read, composed: bool
) -> None:
    plans = _plans(stocked[kind], operation, composed=composed)
    assert plans
    for plan in plans:
        assert not [line for line in plan.splitlines() if _reads_all(line)], plan


@pytest.mark.parametrize("composed", COMPOSED)
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_no_long_stream_is_read_as_a_whole(
    long_streams: Any, kind: str, operation: Read, composed: bool
) -> None:
    """Of few actors with long streams any condition on one looks as if it were met at once."""
    plans = _plans(long_streams[kind], operation, composed=composed)
    assert plans
    for plan in plans:
        read = [line for line in plan.splitlines() if _reads_all(line)]
        # There are two mappings only, and to read both is the shortest way.
        assert all(KIND.tables.id_map.name in line for line in read), plan


@pytest.mark.parametrize("composed", COMPOSED)
@pytest.mark.parametrize(
    "operation",
    [operation for operation in OPERATIONS.values() if isinstance(operation, Load)],
    ids=[name for name, operation in OPERATIONS.items() if isinstance(operation, Load)],
)
def test_the_newest_snapshot_is_the_first_of_its_index_before_anything_was_analyzed(
    growing: sa.Engine, operation: Load, composed: bool
) -> None:
    """The planner expects two snapshots of an actor then; to sort them looks as good to it."""
    for plan in _plans(growing, operation, composed=composed):
        if KIND.tables.snapshots.name in plan:
            assert f"Index Scan using {KIND.tables.snapshots.name}_newest_idx" in plan, plan


@pytest.mark.parametrize(
    "operation",
    [
        OPERATIONS["load with keys"],
        OPERATIONS["load many with keys"],
        Holds(KIND.name, POSITIONS[:1], ("a", "b")),
    ],
    ids=["load", "load many", "holds"],
)
def test_used_keys_are_looked_up_before_anything_was_analyzed(
    growing: sa.Engine, operation: Read
) -> None:
    """The planner expects a hundred keys, for which to read all commands looks as good to it."""
    for plan in _plans(growing, operation, composed=False):
        assert f"{KIND.tables.commands.name}_key" in plan, plan
        assert f"Seq Scan on {KIND.tables.commands.name}" not in plan, plan


@pytest.fixture(scope="module")
def growing(postgres: Any) -> Iterator[sa.Engine]:
    """A database with few players, of many snapshots, which autovacuum has not seen."""
    with postgres.database() as url:
        engine = sa.create_engine(url)
        DOMAIN.metadata.create_all(engine)
        with engine.begin() as connection:
            for table in (KIND.tables.commands, KIND.tables.events, KIND.tables.snapshots):
                connection.execute(
                    sa.text(f"ALTER TABLE {table.name} SET (autovacuum_enabled = off)")
                )
        stock_postgres(
            postgres.conninfo(engine.url.database), DOMAIN, Player, 2, 2_000, analyze=False
        )
        yield engine
        engine.dispose()


def _plans(engine: sa.Engine, operation: Read, *, composed: bool) -> list[str]:
    adapter = SqlAdapter(DOMAIN, engine.dialect, composed=composed)
    connection = engine.raw_connection()
    try:
        recorder = Recorder(connection)
        adapter.perform(recorder, operation)  # type: ignore[arg-type]
        if engine.name == "sqlite":
            return recorder.plans("EXPLAIN QUERY PLAN ")
        return recorder.plans("EXPLAIN ") + recorder.generic_plans()
    finally:
        connection.close()


def _reads_all(line: str) -> bool:
    return any(
        f"{scan} {table.name}" in line
        for scan in ("Seq Scan on", "SCAN")
        for table in DOMAIN.metadata.tables.values()
    ) and not line.startswith("SCAN player_id_map USING")
