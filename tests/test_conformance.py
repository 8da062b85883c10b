"""Our own backends pass the conformance kit as any other adapter would."""

import pytest

from spry_conformance import Adapter, Conformance
from tests.conforming import BACKENDS
from tests.conftest import Backends

LAST = {
    *("sqlite-composed", "postgresql-composed", "sqlite-memory-thread", "aiosqlite-memory"),
}
"""What shares its statements with others."""


class TestOurs(Conformance):
    @pytest.fixture(
        params=[
            pytest.param(name, marks=[pytest.mark.long] if name in LAST else [])
            for name in BACKENDS
        ]
    )
    def adapter(self, request: pytest.FixtureRequest, backends: Backends) -> Adapter:
        return backends[request.param].adapter(request.param)

    @pytest.fixture
    def conformance_profile(self, brief: bool) -> str:
        return "quick" if brief else "default"
