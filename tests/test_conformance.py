"""Our own backends pass the conformance kit as any other adapter would."""

import pytest

from spry_conformance import Adapter, Conformance
from tests.conforming import BACKENDS
from tests.conftest import Backends

RARELY = {
    *("sqlite-composed", "postgresql-composed", "sqlite-memory-thread", "aiosqlite-memory"),
}
"""What shares its statements with others, and is tried with --thorough."""

OTHERWISE = {"sqlite-memory", "sqlite-thread", "aiosqlite", "postgresql-async"}
"""Those who come by a connection otherwise, and share statements and logic with those in full.

They are usually tried with the quick profile; with --thorough in full.
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
        return "quick" if adapter.name in OTHERWISE and not thorough else "default"
