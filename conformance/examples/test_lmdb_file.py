"""What the kit does not know of: the file of LMDB grows, is shared, and outlives forks."""

import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import lmdb_adapter
import spry_sqla as spry
from lmdb_adapter import LmdbAdapter, LmdbStorage
from spry_conformance.domain import Account, Deposit, domain
from spry_sqla.adapters import AdapterStorage

SMALL = 2**17
SECONDS = 120


def deposit(path: Path, owner: str, times: int, amounts: int = 100) -> None:
    accounts = AdapterStorage(LmdbAdapter(path, map_size=SMALL), domain()).repository(Account)
    for _ in range(times):
        accounts.handle(Deposit(owner, (1,) * amounts)).unwrap()


def balance(path: Path, owner: str) -> int:
    with LmdbStorage(path, domain()) as storage:
        return storage.repository(Account).fetch(owner=owner).balance


def test_a_file_grows_while_threads_write_and_read(tmp_path: Path) -> None:
    path = tmp_path / "file.db"
    accounts = AdapterStorage(LmdbAdapter(path, map_size=SMALL), domain()).repository(Account)
    done = threading.Event()

    def read() -> int:
        times = 0
        while not done.is_set():
            assert accounts.fetch(owner="Ada").balance % 100 == 0
            times += 1
        return times

    with ThreadPoolExecutor(5) as threads:
        readers = [threads.submit(read) for _ in range(2)]
        writers = [threads.submit(deposit, path, owner, 10) for owner in ("Ada", "Ada", "Bob")]
        try:
            for writer in writers:
                writer.result(SECONDS)
        finally:
            done.set()
        assert all(reader.result(SECONDS) for reader in readers)

    assert path.stat().st_size > 2 * SMALL
    assert (balance(path, "Ada"), balance(path, "Bob")) == (2_000, 1_000)


def test_a_file_grows_by_what_other_processes_write(tmp_path: Path) -> None:
    path = tmp_path / "file.db"
    deposit(path, "Ada", 1)
    spawn = multiprocessing.get_context("spawn")
    others = [spawn.Process(target=deposit, args=(path, "Ada", 10)) for _ in range(2)]

    for other in others:
        other.start()
    deposit(path, "Bob", 10)
    for other in others:
        other.join(SECONDS)

    assert [other.exitcode for other in others] == [0, 0]
    assert (balance(path, "Ada"), balance(path, "Bob")) == (2_100, 1_000)


def test_one_append_may_be_larger_than_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file.db"

    deposit(path, "Ada", 1, amounts=2_000)

    assert balance(path, "Ada") == 2_000


def test_a_parent_and_its_child_go_on_with_one_storage(tmp_path: Path) -> None:
    storage = LmdbStorage(tmp_path / "file.db", domain())
    accounts = storage.repository(Account)
    accounts.handle(Deposit("Ada", (1,)))

    child = multiprocessing.get_context("fork").Process(
        target=lambda: [accounts.handle(Deposit("Ada", (1,))).unwrap() for _ in range(10)]
    )
    child.start()
    for _ in range(10):
        accounts.handle(Deposit("Ada", (1,))).unwrap()
    child.join(SECONDS)

    assert child.exitcode == 0
    assert accounts.fetch(owner="Ada").balance == 21


def test_the_last_storage_of_a_process_closes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file.db"
    first, second = LmdbStorage(path, domain()), LmdbStorage(path, domain())

    first.close()
    second.repository(Account).handle(Deposit("Ada", (1,))).unwrap()
    assert str(path) in lmdb_adapter._files
    second.close()

    assert str(path) not in lmdb_adapter._files


def test_who_would_wait_for_the_own_transaction_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lmdb_adapter, "WAIT", 0.01)
    storage = LmdbStorage(tmp_path / "file.db", domain())
    accounts = storage.repository(Account)

    with storage.transaction() as transaction, ThreadPoolExecutor(1) as other:
        transaction.repository(Account).handle(Deposit("Ada", (1,))).unwrap()
        assert accounts.fetch(owner="Ada").balance == 0
        with pytest.raises(spry.StorageUnavailable, match="use the repositories of the transac"):
            accounts.handle(Deposit("Ada", (1,)))
        with pytest.raises(spry.StorageUnavailable, match="use the repositories of the transac"):
            other.submit(accounts.handle, Deposit("Ada", (1,))).result(SECONDS)

    assert accounts.fetch(owner="Ada").balance == 1


def test_what_is_no_file_of_this_adapter_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"something else" * 1_000)
    with pytest.raises(spry.StorageFailure):
        LmdbStorage(other, domain())
    with pytest.raises(spry.StorageUnavailable):
        LmdbStorage(tmp_path / "no" / "folder", domain())

    LmdbStorage(tmp_path / "file.db", domain()).close()
    monkeypatch.setattr(lmdb_adapter, "FORMAT", b"2")
    with pytest.raises(spry.TablesOutdated):
        LmdbStorage(tmp_path / "file.db", domain())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.db"
    LmdbStorage(path, domain()).close()
    path.chmod(0o400)

    with pytest.raises(spry.StorageFailure):
        LmdbStorage(path, domain())
