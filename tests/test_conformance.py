"""Our own backends pass the conformance kit as any other adapter would."""

import pytest

from spry_conformance import Adapter, Conformance, Property
from tests.conforming import BACKENDS
from tests.conftest import Backends

RARELY = {
    *("sqlite-composed", "postgresql-composed", "sqlite-memory-thread", "aiosqlite-memory"),
}
"""What shares its statements with others, and is tried with --thorough."""

OTHERWISE = {"sqlite-memory", "sqlite-thread", "aiosqlite", "postgresql-async"}
THEIR_OWN = {"concurrency", "transactions"}
"""Groups of properties that hang on how a connection is come by.

Those who come by it otherwise share statements and logic with those who are tried in full, and
usually try the other groups with the quick profile; with --thorough all are tried in full.
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
        few = adapter.name in OTHERWISE and property.group not in THEIR_OWN
        return "quick" if few and not thorough else "default"
