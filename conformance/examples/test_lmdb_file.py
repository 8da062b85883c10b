"""What the kit does not know of: the file of LMDB has a size, is shared, and outlives forks."""

import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import lmdb_adapter
import spry_sqla as spry
from lmdb_adapter import LmdbAdapter
from spry_conformance.domain import Account, Deposit, domain
from spry_sqla.adapters import AdapterStorage

pytestmark = pytest.mark.long

SECONDS = 120


def opened(path: Path) -> AdapterStorage:
    return AdapterStorage(LmdbAdapter(path), domain())


def deposit(path: Path, owner: str, times: int) -> None:
    adapter = LmdbAdapter(path)
    accounts = AdapterStorage(adapter, domain()).repository(Account)
    for _ in range(times):
        accounts.handle(Deposit(owner, (1,))).unwrap()
    adapter.close()


def test_processes_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file.db"
    spawn = multiprocessing.get_context("spawn")
    others = [spawn.Process(target=deposit, args=(path, "Ada", 20)) for _ in range(2)]

    for other in others:
        other.start()
    deposit(path, "Bob", 20)
    for other in others:
        other.join(SECONDS)

    assert [other.exitcode for other in others] == [0, 0]
    accounts = opened(path).repository(Account)
    assert [accounts.fetch(owner=owner).balance for owner in ("Ada", "Bob")] == [40, 20]


def test_a_full_file_keeps_what_it_has_and_goes_on_when_it_may_be_larger(tmp_path: Path) -> None:
    path = tmp_path / "file.db"
    small = LmdbAdapter(path, map_size=2**19)
    accounts = AdapterStorage(small, domain()).repository(Account)
    results: list[Account] = []

    with pytest.raises(spry.StorageFailure, match="mapsize limit"):
        results.extend(accounts.handle(Deposit("Ada", (1,) * 10)).unwrap() for _ in range(1_000))

    assert accounts.fetch(owner="Ada") == results[-1]
    small.close()
    accounts = opened(path).repository(Account)
    accounts.handle(Deposit("Ada", (1,) * 10)).unwrap()
    assert accounts.fetch(owner="Ada").balance == 10 * (len(results) + 1)


def test_a_parent_and_its_child_go_on_with_one_storage(tmp_path: Path) -> None:
    accounts = opened(tmp_path / "file.db").repository(Account)
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


def test_a_second_adapter_of_a_process_for_a_file_is_refused(tmp_path: Path) -> None:
    first = LmdbAdapter(tmp_path / "file.db")
    AdapterStorage(first, domain())

    with pytest.raises(spry.StorageUnavailable, match="already open in this process"):
        opened(tmp_path / "file.db")

    first.close()
    opened(tmp_path / "file.db")


def test_who_would_wait_for_the_own_transaction_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lmdb_adapter, "WAIT", 0.01)
    storage = opened(tmp_path / "file.db")
    accounts = storage.repository(Account)

    with storage.transaction() as transaction, ThreadPoolExecutor(1) as other:
        transaction.repository(Account).handle(Deposit("Ada", (1,))).unwrap()
        assert accounts.fetch(owner="Ada").balance == 0
        with pytest.raises(spry.StorageUnavailable, match="use the repositories of the transac"):
            accounts.handle(Deposit("Ada", (1,)))
        with pytest.raises(spry.StorageUnavailable, match="use the repositories of the transac"):
            other.submit(accounts.handle, Deposit("Ada", (1,))).result(SECONDS)

    assert accounts.fetch(owner="Ada").balance == 1


def test_a_storage_can_be_opened_while_another_is_in_a_transaction(tmp_path: Path) -> None:
    adapter = LmdbAdapter(tmp_path / "file.db")
    with AdapterStorage(adapter, domain()).transaction() as transaction:
        transaction.repository(Account).handle(Deposit("Ada", (1,))).unwrap()
        assert not AdapterStorage(adapter, domain()).repository(Account).exists(owner="Ada")


def test_what_is_no_file_of_this_adapter_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"something else" * 1_000)
    with pytest.raises(spry.StorageFailure):
        opened(other)
    with pytest.raises(spry.StorageUnavailable):
        opened(tmp_path / "no" / "folder")

    adapter = LmdbAdapter(tmp_path / "file.db")
    AdapterStorage(adapter, domain())
    adapter.close()
    monkeypatch.setattr(lmdb_adapter, "FORMAT", b"2")
    with pytest.raises(spry.TablesOutdated):
        opened(tmp_path / "file.db")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.db"
    adapter = LmdbAdapter(path)
    AdapterStorage(adapter, domain())
    adapter.close()
    path.chmod(0o400)

    with pytest.raises(spry.StorageFailure):
        opened(path)
