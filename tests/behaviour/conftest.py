"""Small pages, so that a few rows are many; a clock that other tests have told nothing."""

from dataclasses import fields
from typing import Any

import pytest

from spry_sqla import operations
from spry_sqla import storage as storages
from spry_sqla.clock import Clock


@pytest.fixture(params=[1, 2, 3])
def small_pages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Pages of so many rows, where 2,000 are usual."""
    size: int = request.param
    paged: list[type[Any]] = [
        *(operations.Load, operations.ReadEvents, operations.ReadHistory, operations.ReadActors)
    ]
    for operation in paged:
        assert fields(operation)[-1].name == "limit"
        make: Any = operation.__init__
        monkeypatch.setattr(make, "__defaults__", (*make.__defaults__[:-1], size))
    return size


@pytest.fixture
def own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock of this test's. One that was told of a future goes on from there in steps of 100 ns.

    Then two events share a microsecond, and so a moment.
    """
    monkeypatch.setattr(storages, "process_clock", Clock())
