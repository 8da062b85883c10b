"""Event hooks of the application's engine leave a transaction open on its connections."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import spry_sqla as spry
from tests.faults.domain import Add, Counter, domain
from tests.faults.ledger import read_ledger

Engine = Callable[[], sa.Engine]


def begun(driver: Any, *_: Any) -> None:
    """As autocommit=False of Python 3.12 leaves a connection: always in a transaction."""
    driver.isolation_level = None
    if not driver.in_transaction:
        driver.execute("BEGIN")
        driver.execute("CREATE TEMPORARY TABLE IF NOT EXISTS settings (x)")


@pytest.mark.parametrize("moment", ["connect", "checkout"])
def test_a_sqlite_connection_that_is_in_a_transaction_stores(tmp_path: Path, moment: str) -> None:
    file = f"sqlite:///{tmp_path / 'test.db'}"
    plain, engine = sa.create_engine(file), sa.create_engine(file)
    domain.metadata.create_all(plain)
    sa.event.listen(engine, moment, begun)
    counters = spry.Storage(engine, domain).repository(Counter)

    for number in range(1, 4):
        assert counters.handle(Add("ada", parts=2)).modified.additions == 2 * number

    assert spry.Storage(plain, domain).repository(Counter).fetch(name="ada").additions == 6
    assert len(read_ledger(plain).check().commands) == 3
    if moment == "checkout":
        with engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            assert driver.in_transaction
            assert connection.exec_driver_sql("SELECT * FROM settings").all() == []
    plain.dispose()
    engine.dispose()


def tenant(driver: Any, *_: Any) -> None:
    with driver.cursor() as cursor:
        cursor.execute("SELECT set_config('app.tenant', 'a', false)")


@pytest.mark.parametrize("moment", ["connect", "checkout"])
def test_a_postgresql_connection_that_is_in_a_transaction_stores(tcp_url: str, moment: str) -> None:
    engine = sa.create_engine(tcp_url, pool_size=1, max_overflow=0)
    sa.event.listen(engine, moment, tenant)
    counters = spry.Storage(engine, domain).repository(Counter)

    for number in range(1, 4):
        assert counters.handle(Add("ada")).modified.total == number

    with engine.connect() as connection:
        setting = connection.exec_driver_sql("SELECT current_setting('app.tenant')")
        assert setting.scalar() == "a"
    engine.dispose()
    other = sa.create_engine(tcp_url)
    assert spry.Storage(other, domain).repository(Counter).fetch(name="ada").total == 3
    other.dispose()
