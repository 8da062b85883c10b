"""Cause sorts before effect, whatever the machine's clock does."""

import time
from operator import attrgetter

import pytest

import spry_sqla as spry
from spry_conformance.faces import Face
from spry_sqla import base
from spry_sqla.adapters import MappingRecord, target_of
from spry_sqla.clock import Clock, timestamp_of
from spry_sqla.operations import Append
from tests.backends import Backend
from tests.domains import player
from tests.domains.player import Beat, CreatePlayer, Hit, Player, PlayerHit
from tests.rows import put_event, stored

NOW = time.time_ns()
SECOND = 1_000_000_000


@pytest.fixture(autouse=True)
def wall(monkeypatch: pytest.MonkeyPatch) -> "Wall":
    """The wall clock of this process; what storages open from now on reads it."""
    made = Wall()
    monkeypatch.setattr(base, "process_clock", Clock(made))
    return made


class Wall:
    """A wall clock that shows the time, plus what a test adds to it."""

    def __init__(self) -> None:
        self.shows = time.time_ns

    def __call__(self) -> int:
        return self.shows()


def test_events_keep_their_order_while_the_clock_stands_still(backend: Backend, wall: Wall) -> None:
    store = backend.start(player.domain())
    players = store.repository(Player)
    wall.shows = lambda: NOW

    players.handle_many([CreatePlayer("Ada"), Beat("Ada", (1, 2, 3))])
    players.handle(Hit("Ada", 4))

    assert players.fetch(name="Ada").wounds == [1, 2, 3, 4]
    assert in_order(store)


def test_events_keep_their_order_while_the_clock_runs_backwards(
    backend: Backend, wall: Wall
) -> None:
    store = backend.start(player.domain())
    players = store.repository(Player)
    ticks = iter(range(NOW, 0, -SECOND))
    wall.shows = lambda: next(ticks)

    for command in (CreatePlayer("Ada"), Hit("Ada", 1), Hit("Ada", 2)):
        players.handle(command)

    assert players.fetch(name="Ada").wounds == [1, 2]
    times = [entry.time for entry in players.history(name="Ada")]
    assert times == sorted(times)
    assert in_order(store)


@pytest.mark.parametrize("reads", [False, True])
def test_a_process_whose_clock_is_behind_writes_after_what_it_has_read(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, reads: bool
) -> None:
    """It has by loading it for the command, or by an earlier read, which is remembered."""
    backend.start(player.domain()).repository(Player).handle(CreatePlayer("Ada"))

    monkeypatch.setattr(base, "process_clock", Clock(lambda: time.time_ns() - 30 * SECOND))
    store = backend.open(player.domain())
    if reads:
        assert store.repository(Player).exists(name="Ada")
    store.repository(Player).handle(Hit("Ada", 1))

    assert in_order(store)
    assert backend.open(player.domain()).repository(Player).fetch(name="Ada").wounds == [1]


@pytest.mark.parametrize("reads", [False, True])
def test_a_record_too_far_in_the_future_is_refused_by_a_write_and_nothing_is_stored(
    backend: Backend, reads: bool
) -> None:
    store = backend.start(player.domain())
    players = store.repository(Player)
    players.handle(CreatePlayer("Ada"))
    hit_from_the_future(store, seconds=120)
    if reads:
        assert players.fetch(name="Ada").wounds == [5]

    with pytest.raises(spry.ClockTooFarAhead, match="max_clock_ahead") as caught:
        players.handle(Hit("Ada", 1))

    assert "60" in str(caught.value)
    assert players.fetch(name="Ada") == Player("Ada", 95, [5])
    assert backend.count(store.domain.actor(Player), "commands") == 1


def test_how_far_is_too_far_is_a_setting(backend: Backend) -> None:
    store = backend.start(player.domain())
    store.repository(Player).handle(CreatePlayer("Ada"))
    hit_from_the_future(store, seconds=5)
    strict = backend.open(player.domain(), max_clock_ahead=1.0).repository(Player)
    lenient = backend.open(player.domain(), max_clock_ahead=10.0).repository(Player)

    with pytest.raises(spry.ClockTooFarAhead):
        strict.handle(Hit("Ada", 1))
    results = lenient.handle(Hit("Ada", 1))

    assert results.modified.wounds == lenient.fetch(name="Ada").wounds == [5, 1]
    assert in_order(store)


def hit_from_the_future(store: Face, *, seconds: int) -> None:
    clock = Clock(lambda: time.time_ns() + seconds * SECOND)
    put_event(store, Player, PlayerHit(5), origin="b", sequence=1, clock=clock, name="Ada")


def in_order(store: Face) -> bool:
    """Whether ids are in the order of sequences: the rows come in that of these."""
    rows = [row for row in stored(store, Player, name="Ada").events if row.origin == "main"]
    ids = [row.id for row in sorted(rows, key=attrgetter("sequence"))]
    return len(ids) > 1 and ids == sorted(ids)


def test_an_event_that_waits_is_heeded_as_one_that_counts(backend: Backend) -> None:
    """It was read, so what is decided now comes after it."""
    store = backend.start(player.domain())
    players = store.repository(Player)
    players.handle(CreatePlayer("Ada"))
    ahead = Clock(lambda: time.time_ns() + 30 * SECOND)
    waits = put_event(
        store, Player, PlayerHit(7), origin="east", sequence=2, clock=ahead, name="Ada"
    )

    players.handle(Hit("Ada", 1))

    rows = stored(store, Player, name="Ada").events
    assert max(row.id for row in rows if row.origin == "main") > waits.id


def test_a_mapping_too_far_in_the_future_is_refused_as_an_event_is(backend: Backend) -> None:
    store = backend.start(player.domain())
    ada = target_of(store.domain, Player, {"name": "Ada"})
    ahead = Clock(lambda: time.time_ns() + 3600 * SECOND).next()
    row = MappingRecord(
        ahead, ada.digest, '{"name":"Ada"}', ada.native_id, "east", ahead, timestamp_of(ahead)
    )
    store.perform(Append(store.domain.actor(Player).name, mappings=[row]))

    with pytest.raises(spry.ClockTooFarAhead):
        store.repository(Player).handle(CreatePlayer("Ada"))
