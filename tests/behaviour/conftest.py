"""Small pages, so that a few rows are many."""

import pytest

from spry_sqla import operations


@pytest.fixture(params=[1, 2, 3])
def small_pages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Pages of so many rows, where 2,000 are usual."""
    size: int = request.param
    for operation in (
        *(operations.Load, operations.ReadEvents, operations.ReadHistory, operations.ReadActors),
    ):
        defaults = (*operation.__init__.__defaults__[:-1], size)
        monkeypatch.setattr(operation.__init__, "__defaults__", defaults)
    return size
