"""Events of other origins: which of them count, in which order, and what that makes of snapshots.

They are put in as rows, as an exchange between replicas will put them in.
"""

import json
import time

import pytest

import spry_sqla as spry
from spry_conformance.faces import Face
from spry_sqla.clock import Clock, process_clock
from spry_sqla.records import EventRecord
from tests.backends import Backend
from tests.domains import player
from tests.domains.player import CreatePlayer, Hit, Player, PlayerHit
from tests.rows import put_event, stored

EAGER = spry.ActorMeta(snapshot_frequency=1, snapshot_during_read=True)


def test_an_event_of_another_origin_counts(backend: Backend) -> None:
    store = with_ada(backend)
    players = store.repository(Player)

    hit(store, 5, "b", 1)

    assert players.fetch(name="Ada") == Player("Ada", 95, [5])
    assert [entry.event for entry in players.history(name="Ada")][1:] == [PlayerHit(5)]
    assert players.fetch(name="Ada", version=1) == Player("Ada", 100)


def test_an_event_waits_for_those_before_it_of_its_origin(backend: Backend) -> None:
    store = with_ada(backend)
    players = store.repository(Player)
    first, second, third = (process_clock.next() for _ in range(3))

    hit(store, 3, "b", 3, id=third)
    hit(store, 2, "b", 2, id=second)
    waiting = players.fetch(name="Ada"), len(list(players.history(name="Ada")))
    hit(store, 1, "b", 1, id=first)

    assert waiting == (Player("Ada", 100), 1)
    assert players.fetch(name="Ada").wounds == [1, 2, 3]
    assert len(list(players.history(name="Ada"))) == 4


def test_an_event_waits_for_what_it_had_seen_of_other_origins(backend: Backend) -> None:
    store = with_ada(backend)
    players = store.repository(Player)
    cause, effect = process_clock.next(), process_clock.next()

    hit(store, 2, "b", 1, id=effect, seen={"c": 1, "main": 1})
    waiting = players.fetch(name="Ada"), len(list(players.history(name="Ada")))
    hit(store, 1, "c", 1, id=cause)

    assert waiting == (Player("Ada", 100), 1)
    assert players.fetch(name="Ada").wounds == [1, 2]


def test_what_waits_is_no_part_of_a_decision_nor_of_its_version(backend: Backend) -> None:
    store = with_ada(backend)
    players = store.repository(Player)
    hit(store, 2, "b", 2)

    results = players.handle(Hit("Ada", 7))

    assert results.modified == players.fetch(name="Ada") == Player("Ada", 93, [7])
    assert [entry.version for entry in players.history(name="Ada")] == [1, 2]
    assert row_of(store, 7).seen is None


def test_a_decision_records_what_it_had_seen_of_other_origins(backend: Backend) -> None:
    store = with_ada(backend)
    hit(store, 1, "b", 1)
    hit(store, 2, "b", 2)
    hit(store, 3, "c", 1)
    hit(store, 4, "d", 2)

    store.repository(Player).handle(Hit("Ada", 7))

    row = row_of(store, 7)
    assert json.loads(row.seen or "") == {"b": 2, "c": 1}
    assert (row.origin, row.sequence) == ("main", 2)


def test_a_decision_sorts_after_all_that_it_had_seen(backend: Backend) -> None:
    store = with_ada(backend)
    ahead = id_ahead(seconds=5)
    hit(store, 1, "b", 1, id=ahead)

    store.repository(Player).handle(Hit("Ada", 7))

    assert row_of(store, 7).id > ahead
    assert store.repository(Player).fetch(name="Ada").wounds == [1, 7]


@pytest.mark.parametrize("meta", [EAGER, spry.ActorMeta(snapshot_frequency=100)])
def test_a_late_event_takes_its_place_and_the_state_is_right(
    backend: Backend, meta: spry.ActorMeta
) -> None:
    store = with_ada(backend, meta)
    players = store.repository(Player)
    early = process_clock.next()
    players.handle(Hit("Ada", 99))
    players.fetch(name="Ada")

    hit(store, 5, "b", 1, id=early)

    assert players.fetch(name="Ada") == Player("Ada", 0, [5, 99])
    assert players.handle(Hit("Ada", 0)).original == Player("Ada", 0, [5, 99])
    assert players.handle(Hit("Ada", 7)).modified == Player("Ada", 0, [5, 99, 7])
    assert [players.fetch(name="Ada", version=version).wounds for version in (1, 2, 3)] == [
        *([], [5], [5, 99])
    ]


def test_a_divergent_snapshot_is_passed_over_and_an_older_one_is_used(backend: Backend) -> None:
    store = with_ada(backend, spry.ActorMeta(snapshot_frequency=1))
    players = store.repository(Player)
    players.handle(Hit("Ada", 1))
    right = stored(store, Player, name="Ada").snapshot
    early = process_clock.next()
    players.handle(Hit("Ada", 2))

    hit(store, 5, "b", 1, id=early)

    assert stored(store, Player, name="Ada").snapshot == right
    assert players.fetch(name="Ada").wounds == [1, 5, 2]


def test_a_repaired_state_is_stored_anew(backend: Backend) -> None:
    store = with_ada(backend, EAGER)
    players = store.repository(Player)
    early = process_clock.next()
    players.handle(Hit("Ada", 2))
    hit(store, 5, "b", 1, id=early)

    players.fetch(name="Ada")

    snapshot = stored(store, Player, name="Ada").snapshot
    assert snapshot is not None
    assert json.loads(snapshot.vector) == {"b": 1, "main": 2}
    assert snapshot.version == 3


def test_a_late_event_that_waits_makes_no_difference_yet(backend: Backend) -> None:
    store = with_ada(backend, EAGER)
    players = store.repository(Player)
    early, later = process_clock.next(), process_clock.next()
    players.handle(Hit("Ada", 2))

    hit(store, 6, "b", 2, id=later)
    before = players.fetch(name="Ada").wounds
    hit(store, 5, "b", 1, id=early)

    assert before == [2]
    assert players.fetch(name="Ada").wounds == [5, 6, 2]


def test_each_origin_writes_its_own_sequence(backend: Backend) -> None:
    domain = player.domain()
    here = backend.start(domain, origin="here").repository(Player)
    there = backend.open(domain, origin="there")

    here.handle(CreatePlayer("Ada"))
    there.repository(Player).handle(Hit("Ada", 1))
    here.handle(Hit("Ada", 2))

    rows = stored(there, Player, name="Ada").events
    assert [(row.origin, row.sequence) for row in rows] == [("here", 1), ("there", 1), ("here", 2)]
    assert [row.seen for row in rows] == [None, '{"here":1}', '{"there":1}']
    assert here.fetch(name="Ada").wounds == [1, 2]


@pytest.mark.parametrize("meta", [spry.ActorMeta(), EAGER])
def test_pages_of_several_origins_keep_the_order_of_ids(
    backend: Backend, small_pages: int, meta: spry.ActorMeta
) -> None:
    store = backend.start(player.domain(meta))
    players = store.repository(Player)
    turns = "aabbbcaaabcbbaccc"
    ids = [process_clock.next() for _ in turns]

    for place in (*range(0, len(turns), 2), *range(1, len(turns), 2)):
        origin = turns[place]
        hit(store, place, origin, turns[: place + 1].count(origin), id=ids[place])
        players.fetch(name="Ada")

    assert players.fetch(name="Ada").wounds == list(range(len(turns)))
    assert [entry.event for entry in players.history(name="Ada")] == [
        PlayerHit(place) for place in range(len(turns))
    ]
    for version in range(len(turns)):
        assert players.fetch(name="Ada", version=version).wounds == list(range(version))


# Given ------------------------------------------------------------------------------------------


def with_ada(backend: Backend, meta: spry.ActorMeta | None = None) -> Face:
    store = backend.start(player.domain(meta or spry.ActorMeta()))
    store.repository(Player).handle(CreatePlayer("Ada"))
    return store


def hit(
    store: Face,
    points: int,
    origin: str,
    sequence: int,
    *,
    id: str | None = None,
    seen: dict[str, int] | None = None,
) -> None:
    put_event(
        store,
        Player,
        PlayerHit(points),
        origin=origin,
        sequence=sequence,
        id=id,
        seen=json.dumps(seen) if seen else None,
        name="Ada",
    )


def row_of(store: Face, points: int) -> EventRecord:
    """The stored row of one hit."""
    rows = stored(store, Player, name="Ada").events
    return next(row for row in rows if f'"points":{points}' in row.content.replace(" ", ""))


def id_ahead(seconds: float) -> str:
    """The id that a machine gives whose clock is ahead."""
    return Clock(lambda: time.time_ns() + int(seconds * 1e9)).next()
