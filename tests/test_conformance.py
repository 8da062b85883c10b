"""Our own backends pass the conformance kit as any other adapter would."""

import pytest

from spry_conformance import Adapter, Conformance
from tests.conforming import BACKENDS
from tests.conftest import Backends

RARELY = {
    *("sqlite-composed", "postgresql-composed", "sqlite-memory-thread", "aiosqlite-memory"),
}
"""What shares its statements with others, and is tried with --thorough."""

IN_FULL = {"memory", "memory-async", "sqlite"}
"""The others are usually tried with the quick profile, and with --thorough with this one, too.

In full on all, the kit alone takes as long as a usual run may.
"""


class TestOurs(Conformance):
    @pytest.fixture(
        params=[
            pytest.param(name, marks=[pytest.mark.thorough] if name in RARELY else [])
            for name in BACKENDS
        ]
    )
    def adapter(self, request: pytest.FixtureRequest, backends: Backends) -> Adapter:
        return backends[request.param].adapter(request.param)

    @pytest.fixture
    def conformance_profile(self, adapter: Adapter, thorough: bool) -> str:
        return "default" if thorough or adapter.name in IN_FULL else "quick"
