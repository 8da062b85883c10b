"""Small pages, so that a few rows are many."""

from dataclasses import fields
from typing import Any

import pytest

from spry_sqla import operations


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
