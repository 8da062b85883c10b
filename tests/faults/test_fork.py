"""A process that has opened a storage forks: parent and children all go on, each by itself."""

import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

import spry_sqla as spry
from tests.faults.domain import Add, Counter, domain
from tests.faults.ledger import read_ledger
from tests.faults.waiting import LONG, until

CHILDREN = 4
COMMANDS = 10


@pytest.fixture(params=["postgresql", "sqlite", "sqlite with WAL"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    if request.param == "postgresql":
        engine = sa.create_engine(request.getfixturevalue("tcp_url"))
    elif request.param == "sqlite":
        engine = sa.create_engine(f"sqlite:///{tmp_path / 'test.db'}")
    else:
        engine = spry.sqlite_engine(str(tmp_path / "test.db"))
    domain.metadata.create_all(engine)
    yield engine
    engine.dispose()


def fork(work: Callable[[], bool]) -> int:
    """A child that does some work, and whose exit code says whether it went well."""
    with warnings.catch_warnings():
        # Python 3.12 warns where other threads run; what they held is what these tests are about.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        code = 0 if work() else 2
    except BaseException:  # noqa: BLE001  (nothing of the test runner may run here)
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(code)


def wait_for(children: list[int]) -> None:
    for pid in children:
        ended: list[int] = []

        def has_ended(pid: int = pid, ended: list[int] = ended) -> bool:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                ended.append(os.waitstatus_to_exitcode(status))
            return bool(found)

        until(has_ended, "a child ends")
        assert ended == [0], "a child failed; see what it printed"


def test_four_children_and_their_parent_all_append(engine: sa.Engine) -> None:
    counters = spry.Storage(engine, domain).repository(Counter)
    counters.handle(Add("ada"))

    def work(name: str) -> bool:
        return all(
            counters.handle(Add(name)).ok and counters.handle(Add("ada")).ok
            for _ in range(COMMANDS)
        )

    children = [fork(partial(work, f"child {number}")) for number in range(CHILDREN)]
    assert work("parent")
    wait_for(children)

    assert counters.fetch(name="ada").total == 1 + COMMANDS * (CHILDREN + 1)
    for name in ("parent", "child 0", "child 3"):
        assert counters.fetch(name=name).total == COMMANDS
    ledger = read_ledger(engine).check()
    ids = [event for event, *_ in ledger.events] + list(ledger.commands)
    assert len(set(ids)) == len(ids) == 2 * (1 + 2 * COMMANDS * (CHILDREN + 1))


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_child_uses_no_socket_of_its_parent(engine: sa.Engine) -> None:
    counters = spry.Storage(engine, domain).repository(Counter)
    counters.handle(Add("ada"))
    with engine.connect() as connection:
        (of_parent,) = connection.exec_driver_sql("SELECT pg_backend_pid()").one()

    def work() -> bool:
        counters.handle(Add("ada"))
        with engine.connect() as connection:
            (of_child,) = connection.exec_driver_sql("SELECT pg_backend_pid()").one()
        return bool(of_child != of_parent)

    wait_for([fork(work)])

    # The child has not ended its parent's session either.
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT pg_backend_pid()").one() == (of_parent,)


def test_a_child_that_ends_at_once_leaves_its_parent_in_peace(engine: sa.Engine) -> None:
    counters = spry.Storage(engine, domain).repository(Counter)

    for number in range(1, 6):
        wait_for([fork(lambda: True)])
        assert counters.handle(Add("ada")).modified.total == number


# Not SQLite, where children of such a parent hung. Not yet diagnosed: perhaps a lock of SQLite's
# own that another thread held at the fork.
@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_child_of_a_parent_whose_threads_write_can_write_too(engine: sa.Engine) -> None:
    # Locks that another thread held at the fork stay locked for ever in the child.
    counters = spry.Storage(engine, domain).repository(Counter)

    def write_one(name: str) -> bool:
        return counters.handle(Add(name)).ok

    with ThreadPoolExecutor(3) as threads:
        stop = False

        def write(number: int) -> int:
            stored = 0
            while not stop:
                stored += counters.handle(Add(f"thread {number}")).ok
            return stored

        writing = [threads.submit(write, number) for number in range(3)]
        try:
            wait_for([fork(partial(write_one, f"child {child}")) for child in range(CHILDREN)])
        finally:
            stop = True
        stored = [each.result(LONG) for each in writing]

    for number in range(3):
        assert counters.fetch(name=f"thread {number}").total == stored[number]
    for child in range(CHILDREN):
        assert counters.fetch(name=f"child {child}").total == 1
    read_ledger(engine).check()
