"""The adapter on LMDB, tried by the kit: all that its author wrote to be told that it is right."""

from pathlib import Path

import pytest

from lmdb_adapter import LmdbAdapter
from spry_conformance import Adapter, Conformance
from spry_sqla.adapters import AdapterStorage, AsyncAdapterStorage

pytestmark = pytest.mark.long

CLAIMS = {"concurrent", "durable", "measured", "replicas", "transactions"}


def throw_away(lmdb: LmdbAdapter, file: Path) -> None:
    lmdb.close()
    file.unlink(missing_ok=True)


class TestLmdb(Conformance):
    @pytest.fixture
    def adapter(self, tmp_path: Path) -> Adapter:
        file = tmp_path / "file.db"
        lmdb = LmdbAdapter(file)
        return Adapter(
            open=lambda domain, origin: AdapterStorage(lmdb, domain, origin=origin),
            reset=lambda: throw_away(lmdb, file),
            capabilities=CLAIMS,
            work=lambda storage: lmdb.reads,
            name="lmdb",
        )


class TestLmdbAwaited(Conformance):
    @pytest.fixture
    def adapter(self, tmp_path: Path) -> Adapter:
        file = tmp_path / "file.db"
        lmdb = LmdbAdapter(file)
        return Adapter(
            open=lambda domain, origin: AsyncAdapterStorage(lmdb, domain, origin=origin),
            reset=lambda: throw_away(lmdb, file),
            capabilities={*CLAIMS, "async"},
            work=lambda storage: lmdb.reads,
            name="lmdb, awaited",
        )
