"""The disk is full: a StorageFailure, nothing half-written, and all is well when there is room."""

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

import spry_sqla as spry
from tests.faults.domain import Add, Counter, domain
from tests.faults.ledger import Ledger, read_ledger
from tests.faults.locks import outside
from tests.postgres import PostgresServer

LARGE = "x" * 100_000


# SQLite ------------------------------------------------------------------------------------------


@pytest.fixture(params=["journal", "WAL", "memory"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    """A database with room for a few events more than it has."""
    if request.param == "journal":
        engine = sa.create_engine(f"sqlite:///{tmp_path / 'test.db'}", pool_size=1, max_overflow=0)
    elif request.param == "WAL":
        engine = spry.sqlite_engine(str(tmp_path / "test.db"), pool_size=1, max_overflow=0)
    else:
        engine = spry.sqlite_engine(":memory:")
    domain.metadata.create_all(engine)
    yield engine
    engine.dispose()


def give_room(engine: sa.Engine, pages: int) -> None:
    """Let the database grow by as many pages; a setting of its one connection."""
    with engine.connect() as connection:
        count = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {count + pages}")


def fill(counters: spry.Repository[Counter], command: Add) -> int:
    """Handle a command again and again until the disk is full; how often it went well."""
    for count in range(1_000):
        try:
            counters.handle(command)
        except spry.StorageFailure:
            return count
    raise AssertionError("the disk is never full")


# Parts of different sizes, so that what no longer fits is another row each time.
@pytest.mark.parametrize(("parts", "size"), [(1, 100), (5, 1_000), (40, 300), (3, 30_000)])
def test_a_full_sqlite_keeps_what_it_has_and_takes_nothing_by_halves(
    engine: sa.Engine, parts: int, size: int
) -> None:
    counters = spry.Storage(engine, domain).repository(Counter)
    counters.handle(Add("ada"))
    give_room(engine, 60)

    command = Add("ada", parts=parts, note=LARGE[:size])
    stored = fill(counters, command)

    assert counters.fetch(name="ada").additions == 1 + parts * stored
    assert len(read_ledger(engine).check().commands) == 1 + stored
    with pytest.raises(spry.StorageFailure):
        counters.handle_many([command, command], idempotency_keys=["1", "2"])

    give_room(engine, 1_000)
    counters.handle_many([command, command], idempotency_keys=["1", "2"])
    assert counters.fetch(name="ada").additions == 1 + parts * (stored + 2)
    read_ledger(engine).check()


def test_a_full_sqlite_says_so_through_aiosqlite(tmp_path: Path) -> None:
    async def fill_up() -> None:
        engine = create_async_engine(
            f"sqlite+aiosqlite:///{tmp_path / 'test.db'}", pool_size=1, max_overflow=0
        )
        async with engine.begin() as connection:
            await connection.run_sync(domain.metadata.create_all)
        counters = spry.AsyncStorage(engine, domain).repository(Counter)
        await counters.handle(Add("ada"))
        async with engine.connect() as connection:
            count = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one()
            await connection.exec_driver_sql(f"PRAGMA max_page_count = {count + 10}")

        with pytest.raises(spry.StorageFailure):
            await counters.handle(Add("ada", note=LARGE))

        assert (await counters.handle(Add("ada"))).modified.total == 2
        await engine.dispose()

    asyncio.run(fill_up())


# PostgreSQL --------------------------------------------------------------------------------------


@contextmanager
def small_file_system(megabytes: int) -> Iterator[Path]:
    """A file system of some megabytes that the server can write to; skips where none is allowed."""
    folder = Path(tempfile.mkdtemp(prefix="spry-small-", dir="/tmp"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        folder.rmdir()
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        space = folder / "space"
        space.mkdir()
        entry = pwd.getpwnam("embedded_postgres")
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        os.chown(space, entry.pw_uid, entry.pw_gid)
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


@pytest.fixture
def small_url(tcp_server: PostgresServer) -> Iterator[tuple[str, Path]]:
    """A database with its tables on a small file system, and that file system's folder."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system")
    with (
        small_file_system(4) as folder,
        outside(tcp_server.url(), autocommit=True) as admin,
    ):
        admin.execute(f"CREATE TABLESPACE small LOCATION '{folder / 'space'}'")
        url = tcp_server.create_database()
        try:
            engine = sa.create_engine(url, connect_args={"options": "-c default_tablespace=small"})
            domain.metadata.create_all(engine)
            engine.dispose()
            yield url, folder
        finally:
            tcp_server.drop_database(url)
            drop_tablespace(admin)


def drop_tablespace(admin: psycopg.Connection) -> None:
    admin.execute("DROP TABLESPACE small")


def test_a_full_postgresql_keeps_what_it_has_and_takes_nothing_by_halves(
    small_url: tuple[str, Path],
) -> None:
    url, folder = small_url
    engine = sa.create_engine(url)
    counters = spry.Storage(engine, domain).repository(Counter)
    counters.handle(Add("ada"))
    # Random digits, for what repeats itself is compressed.
    note = os.urandom(20_000).hex()
    (folder / "ballast").write_bytes(bytes(1_000_000))

    stored = fill(counters, Add("ada", parts=2, note=note))

    def ledger() -> Ledger:
        return read_ledger(engine).check()

    assert stored > 3
    assert counters.fetch(name="ada").additions == 1 + 2 * stored
    assert len(ledger().commands) == 1 + stored
    with pytest.raises(spry.StorageFailure, match="53100"):
        counters.handle_many([Add("ada", parts=9, note=note), Add("ada", parts=9, note=note)])
    assert len(ledger().commands) == 1 + stored

    (folder / "ballast").unlink()
    assert counters.handle(Add("ada", parts=2, note=note)).ok
    assert counters.fetch(name="ada").additions == 3 + 2 * stored
    ledger()
    engine.dispose()
