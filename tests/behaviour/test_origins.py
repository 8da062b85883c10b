"""Events of other origins: which of them count, in which order, and what that makes of snapshots.

They are put in as rows, as an exchange between replicas will put them in.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

import spry_sqla as spry
from spry_sqla.clock import Clock, process_clock
from spry_sqla.records import EventRecord
from tests.backends import Backend, Store
from tests.behaviour.examples import examples
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


# Any exchange, in any order, in any pieces ------------------------------------------------------


@dataclass(frozen=True)
class Row:
    origin: str
    sequence: int
    seen: dict[str, int]
    points: int


@dataclass
class Replicas:
    """Three replicas that write and exchange; ids are given in the order of writing."""

    known: dict[str, dict[str, int]] = field(default_factory=lambda: {each: {} for each in "abc"})
    rows: list[Row] = field(default_factory=list)

    def write(self, origin: str) -> None:
        known = self.known[origin]
        seen = {other: count for other, count in known.items() if other != origin}
        known[origin] = known.get(origin, 0) + 1
        self.rows.append(Row(origin, known[origin], seen, len(self.rows)))

    def exchange(self, source: str, target: str) -> None:
        for origin, count in self.known[source].items():
            self.known[target][origin] = max(count, self.known[target].get(origin, 0))


def visible(rows: Sequence[Row]) -> list[int]:
    """The points of those that count, of rows in the order of their ids."""
    taken: dict[str, int] = {}
    points = []
    for row in rows:
        follows = row.sequence == taken.get(row.origin, 0) + 1
        if follows and all(taken.get(each, 0) >= count for each, count in row.seen.items()):
            taken[row.origin] = row.sequence
            points.append(row.points)
    return points


steps = st.tuples(st.sampled_from("abc"), st.sampled_from("abc"))


@examples(12)
@given(
    history=st.lists(steps, min_size=1, max_size=14),
    data=st.data(),
    meta=st.sampled_from([EAGER, spry.ActorMeta(snapshot_frequency=3), spry.ActorMeta()]),
)
def test_whatever_arrives_in_whatever_order_the_state_is_what_can_be_known_by_then(
    backend: Backend, history: list[tuple[str, str]], data: st.DataObject, meta: spry.ActorMeta
) -> None:
    replicas = Replicas()
    for source, target in history:
        if source == target:
            replicas.write(source)
        else:
            replicas.exchange(source, target)
            replicas.write(target)
    ids = [process_clock.next() for _ in replicas.rows]
    order = data.draw(st.permutations(range(len(ids))), label="arrivals")
    reads = data.draw(st.sets(st.sampled_from(order)), label="read after") | {order[-1]}
    store = backend.start(player.domain(meta))
    players = store.repository(Player)

    arrived: set[int] = set()
    for place in order:
        row = replicas.rows[place]
        hit(store, row.points, row.origin, row.sequence, id=ids[place], seen=row.seen)
        arrived.add(place)
        if place in reads:
            expected = visible([replicas.rows[each] for each in sorted(arrived)])
            assert players.fetch(name="Ada").wounds == expected
            events = [entry.event for entry in players.history(name="Ada")]
            assert events == [PlayerHit(points) for points in expected]

    assert players.fetch(name="Ada").wounds == list(range(len(ids)))
    assert players.handle(CreatePlayer("Ada")).ok
    rows = stored(store, Player, name="Ada").events
    assert rows[-1].origin == "main"
    assert len(players.fetch(name="Ada").wounds) == len(ids)


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


def with_ada(backend: Backend, meta: spry.ActorMeta | None = None) -> Store:
    store = backend.start(player.domain(meta or spry.ActorMeta()))
    store.repository(Player).handle(CreatePlayer("Ada"))
    return store


def hit(
    store: Store,
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


def row_of(store: Store, points: int) -> EventRecord:
    """The stored row of one hit."""
    rows = stored(store, Player, name="Ada").events
    return next(row for row in rows if f'"points":{points}' in row.content.replace(" ", ""))


def id_ahead(seconds: float) -> str:
    """The id that a machine gives whose clock is ahead."""
    return Clock(lambda: time.time_ns() + int(seconds * 1e9)).next()
