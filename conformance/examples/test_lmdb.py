"""The adapter on LMDB, tried by the kit: all that its author wrote to be told that it is right."""

from pathlib import Path

import pytest

from lmdb_adapter import LmdbAdapter, LmdbStorage
from spry_conformance import Adapter, Conformance
from spry_sqla.adapters import AsyncAdapterStorage

CLAIMS = {"concurrent", "durable", "measured", "replicas", "transactions"}


class TestLmdb(Conformance):
    @pytest.fixture
    def adapter(self, tmp_path: Path) -> Adapter:
        file = tmp_path / "file.db"
        return Adapter(
            open=lambda domain, origin: LmdbStorage(file, domain, origin=origin),
            reset=lambda: file.unlink(missing_ok=True),
            capabilities=CLAIMS,
            work=lambda storage: storage.adapter.reads,
            name="lmdb",
        )


class TestLmdbAwaited(Conformance):
    @pytest.fixture
    def adapter(self, tmp_path: Path) -> Adapter:
        file = tmp_path / "file.db"
        lmdb = LmdbAdapter(file)
        return Adapter(
            open=lambda domain, origin: AsyncAdapterStorage(lmdb, domain, origin=origin),
            reset=lambda: file.unlink(missing_ok=True),
            close=lambda storage: lmdb.close(),
            capabilities={*CLAIMS, "async"},
            work=lambda storage: lmdb.reads,
            name="lmdb, awaited",
        )
