"""Small pages, so that a few rows are many; a clock that other tests have told nothing."""

from functools import partial

import pytest

from spry_sqla import base, handling, operations, reading
from spry_sqla.clock import Clock


@pytest.fixture(params=[1, 2, 3])
def small_pages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Pages of so many rows, where 2,000 are usual."""
    size: int = request.param
    paged = {"Load", "ReadEvents", "ReadHistory", "ReadActors"}
    asked_for = set()
    for module in (reading, handling):
        for name in paged & vars(module).keys():
            asked_for.add(name)
            monkeypatch.setattr(module, name, partial(getattr(operations, name), limit=size))
    assert asked_for == paged
    return size


@pytest.fixture
def own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock of this test's. One that was told of a future goes on from there in steps of 100 ns.

    Then two events share a microsecond, and so a moment.
    """
    monkeypatch.setattr(base, "process_clock", Clock())
