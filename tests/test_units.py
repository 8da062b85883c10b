"""What units of work that fail come to, on an adapter of which each step can be made to."""

from collections.abc import Callable
from typing import Any

import pytest

import spry_sqla as spry
from spry_sqla.adapters import Adapter, AdapterStorage, KeyTaken
from spry_sqla.memory import MemoryAdapter
from tests.faults.domain import Add, Counter, domain


class Shaky(Adapter):
    """Keeps records in memory. What is put into a list is raised, once each, in that step.

    What is raised `after_commit` is raised when the unit has been kept, like an answer that is
    lost; what is raised `at_commit` or `at_nested`, when that unit has been undone.
    """

    def __init__(self) -> None:
        self.records = MemoryAdapter()
        self.at_append: list[Exception] = []
        self.at_commit: list[Exception] = []
        self.after_commit: list[Exception] = []
        self.at_nested: list[Exception] = []

    def begin(self, *, write: bool) -> Any:
        unit: Any = self.records.begin(write=write)
        if write:
            nested = unit.nested
            unit.nested = lambda: failing(nested(), self.at_nested, [])
            failing(unit, self.at_commit, self.after_commit)
        return unit

    def append(self, unit: Any, operation: Any) -> None:
        if self.at_append:
            raise self.at_append.pop()
        super().append(unit, operation)


def failing(unit: Any, instead: list[Exception], after: list[Exception]) -> Any:
    commit: Callable[[], None] = unit.commit

    def fail() -> None:
        if instead:
            unit.rollback()
            raise instead.pop()
        commit()
        if after:
            raise after.pop()

    unit.commit = fail
    return unit


@pytest.fixture
def adapter() -> Shaky:
    return Shaky()


@pytest.fixture
def storage(adapter: Shaky) -> AdapterStorage:
    return AdapterStorage(adapter, domain)


def test_a_commit_whose_answer_is_lost_is_not_repeated(
    adapter: Shaky, storage: AdapterStorage
) -> None:
    adapter.after_commit.append(spry.StorageUnavailable("the answer was lost"))

    counters = storage.repository(Counter)
    assert counters.handle(Add("a")).unwrap().total == 1
    assert [entry.version for entry in counters.history(name="a")] == [1]


def test_a_lock_that_stays_is_told_as_one(adapter: Shaky, storage: AdapterStorage) -> None:
    """Nothing was stored then, and it is not in doubt."""
    locked = [spry.StorageUnavailable("it is locked") for _ in range(10)]
    adapter.at_append += locked

    with pytest.raises(spry.StorageUnavailable, match="it is locked"):
        storage.repository(Counter).handle(Add("a"))

    adapter.at_append.clear()
    assert not storage.repository(Counter).exists(name="a")


def test_a_key_that_is_taken_as_it_commits_is_a_conflict(
    adapter: Shaky, storage: AdapterStorage
) -> None:
    adapter.at_commit.append(KeyTaken())
    assert storage.repository(Counter).handle(Add("a")).unwrap().total == 1

    adapter.at_commit.append(KeyTaken())
    with pytest.raises(spry.ConcurrencyError), storage.transaction() as transaction:
        transaction.repository(Counter).handle(Add("a"))
    assert storage.repository(Counter).fetch(name="a").total == 1


def test_a_key_that_is_taken_as_a_nested_unit_commits_is_a_conflict(
    adapter: Shaky, storage: AdapterStorage
) -> None:
    with storage.transaction() as transaction:
        counters = transaction.repository(Counter)
        adapter.at_nested.append(KeyTaken())
        with pytest.raises(spry.ConcurrencyError):
            counters.handle(Add("a"))
        assert counters.handle(Add("a", 2)).unwrap().total == 2
    assert storage.repository(Counter).fetch(name="a").total == 2
