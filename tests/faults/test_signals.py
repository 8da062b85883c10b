"""A signal's handler that raises while the driver waits, as a time limit of Celery's does."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

import spry_sqla as spry
from tests.faults.domain import Add, Counter, domain
from tests.faults.locks import outside, until_waiting


class TimeLimit(Exception):
    """The application's own."""


class Killed(BaseException):
    """As gevent's and pytest's time limits are."""


Work = Callable[[spry.Storage], object]


def in_transaction(storage: spry.Storage) -> object:
    with storage.transaction() as transaction:
        return transaction.repository(Counter).handle(Add("ada"))


def in_session(storage: spry.Storage) -> object:
    connection = storage._engine.connect()
    with connection.execution_options(isolation_level="READ COMMITTED"), connection.begin():
        return storage.join(connection).repository(Counter).handle(Add("ada"))


WORK: dict[str, Work] = {
    "handle": lambda storage: storage.repository(Counter).handle(Add("ada")),
    "fetch": lambda storage: storage.repository(Counter).fetch(name="ada"),
    "history": lambda storage: list(storage.repository(Counter).history(name="ada")),
    "transaction": in_transaction,
    "join": in_session,
}


@pytest.fixture(params=[{}, {"isolation_level": "AUTOCOMMIT"}], ids=["", "autocommit"])
def engine(request: pytest.FixtureRequest, postgres_url: str) -> Iterator[sa.Engine]:
    made = sa.create_engine(postgres_url, pool_size=1, max_overflow=0, **request.param)
    domain.metadata.create_all(made)
    yield made
    made.dispose()


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("error", [TimeLimit, Killed])
def test_what_a_signals_handler_raises_arrives_and_what_was_at_work_is_undone(
    engine: sa.Engine,
    work: str,
    error: type[BaseException],
    caplog: pytest.LogCaptureFixture,
) -> None:
    storage = spry.Storage(engine, domain)
    storage.repository(Counter).handle(Add("ada"))
    caplog.clear()

    with outside(str(engine.url)) as holder, outside(str(engine.url), autocommit=True) as watch:
        holder.execute("LOCK TABLE counter_events IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(error) as raised, raising(error, lambda: until_waiting(watch, 1)):
            WORK[work](storage)
        assert type(raised.value) is error
        holder.rollback()

    # On the pool's one connection, and at once.
    assert storage.repository(Counter).fetch(name="ada").total == 1
    assert storage.repository(Counter).handle(Add("ada")).modified.total == 2
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


class raising:  # noqa: N801  (a context manager)
    """Within it, a signal's handler raises an error in this thread when something has come."""

    def __init__(self, error: type[BaseException], come: Callable[[], None]) -> None:
        self._error = error
        self._come = come

    def __enter__(self) -> None:
        def handler(*_: object) -> None:
            raise self._error

        def send() -> None:
            self._come()
            signal.pthread_kill(main, signal.SIGUSR1)

        main = threading.main_thread().ident or 0
        self._before = signal.signal(signal.SIGUSR1, handler)
        self._pool = ThreadPoolExecutor(1)
        self._pool.submit(send)

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()
        signal.signal(signal.SIGUSR1, self._before)
