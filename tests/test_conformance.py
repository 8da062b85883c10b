"""Our own backends pass the conformance kit as any other adapter would."""

import pytest

from spry_conformance import Adapter, Conformance, Property
from tests.conforming import BACKENDS
from tests.conftest import Backends

RARELY = {
    *("sqlite-composed", "postgresql-composed", "sqlite-memory-thread", "aiosqlite-memory"),
}
"""What shares its statements with others, and is tried with --thorough."""

AWAITED = {"sqlite-thread", "aiosqlite", "postgresql-async"}
ABOVE = {"identity", "replay", "snapshots", "values"}
"""Groups of properties that are mostly the logic above the adapter.

Those who are awaited, which takes two to three times as long, usually try these with the quick
profile. They share the statements with those who are not, and the logic with memory awaited.
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
    def conformance_profile(self, adapter: Adapter, property: Property, thorough: bool) -> str:
        few = adapter.name in AWAITED and property.group in ABOVE
        return "quick" if few and not thorough else "default"
