"""Our own backends pass the conformance kit as any other adapter would."""

import pytest

from spry_conformance import Adapter, Conformance
from tests.conforming import BACKENDS
from tests.conftest import Backends


class TestOurs(Conformance):
    @pytest.fixture(params=BACKENDS)
    def adapter(self, request: pytest.FixtureRequest, backends: Backends) -> Adapter:
        return backends[request.param].adapter(request.param)
