"""Snapshots: taken as `ActorMeta` says, used where right, passed over where not."""

import logging
from dataclasses import dataclass, field
from typing import Any

import pytest

import spry_sqla as spry
from spry_conformance.faces import Face
from spry_sqla.clock import process_clock, time_of
from spry_sqla.operations import Append
from spry_sqla.records import SnapshotRecord
from tests.backends import Backend, let_first
from tests.domains import player
from tests.domains.player import Beat, CreatePlayer, Hit, Player, Stumble
from tests.rows import put_snapshot, rival_of, stored

NO_MORE = spry.ActorMeta(snapshot_during_write=False)


def test_a_snapshot_is_taken_every_ten_events_unless_told_otherwise(backend: Backend) -> None:
    store = backend.start(player.domain())
    players = store.repository(Player)

    players.handle(CreatePlayer("Ada"))
    taken = []
    for _ in range(25):
        players.handle(Hit("Ada", 1))
        taken.append(snapshots(backend, store))

    assert taken == [0] * 8 + [1] * 10 + [2] * 7


@pytest.mark.parametrize(("frequency", "expected"), [(1, 4), (2, 2), (3, 1), (4, 1), (5, 0)])
def test_the_frequency_is_a_number_of_events(
    backend: Backend, frequency: int, expected: int
) -> None:
    meta = spry.ActorMeta(snapshot_frequency=frequency)
    store = backend.start(player.domain(meta))
    players = store.repository(Player)

    for command in (CreatePlayer("Ada"), Hit("Ada", 1), Hit("Ada", 2), Hit("Ada", 3)):
        players.handle(command)

    assert snapshots(backend, store) == expected


def test_many_events_at_once_are_one_snapshot(backend: Backend) -> None:
    store = backend.start(player.domain(spry.ActorMeta(snapshot_frequency=2)))
    players = store.repository(Player)

    players.handle_many([CreatePlayer("Ada"), Beat("Ada", tuple(range(9)))])

    assert snapshots(backend, store) == 1
    found = stored(store, Player, name="Ada").snapshot
    assert found is not None
    assert found.version == 10


def test_a_write_takes_none_where_that_is_switched_off(backend: Backend) -> None:
    meta = spry.ActorMeta(snapshot_frequency=1, snapshot_during_write=False)
    store = backend.start(player.domain(meta))
    players = store.repository(Player)

    players.handle_many([CreatePlayer("Ada"), Hit("Ada", 1)])
    players.fetch(name="Ada")

    assert snapshots(backend, store) == 0


def test_a_read_takes_one_where_that_is_switched_on_and_it_is_due(backend: Backend) -> None:
    meta = spry.ActorMeta(
        snapshot_frequency=2, snapshot_during_write=False, snapshot_during_read=True
    )
    store = backend.start(player.domain(meta))
    players = store.repository(Player)

    players.handle(CreatePlayer("Ada"))
    players.fetch(name="Ada")
    early = snapshots(backend, store)
    players.handle(Hit("Ada", 1))
    players.fetch(name="Ada", version=2)
    as_of = snapshots(backend, store)
    states = [players.fetch(name="Ada") for _ in range(3)]

    assert (early, as_of, snapshots(backend, store)) == (0, 0, 1)
    assert states == [Player("Ada", 99, [1])] * 3


def test_a_command_that_stores_nothing_takes_no_snapshot(backend: Backend) -> None:
    store = backend.start(player.domain(NO_MORE))
    store.repository(Player).handle_many([CreatePlayer("Ada"), Beat("Ada", (1,) * 20)])
    store = backend.open(player.domain(spry.ActorMeta(snapshot_frequency=1)))
    players = store.repository(Player)

    players.handle(Hit("Ada", 0))
    with pytest.raises(ZeroDivisionError):
        players.handle(Stumble("Ada"))

    assert snapshots(backend, store) == 0


def test_an_append_that_fails_leaves_no_snapshot(backend: Backend) -> None:
    meta = spry.ActorMeta(snapshot_frequency=1)
    store = backend.start(player.domain(meta), attempts=2, cache_size=0)
    players = store.repository(Player)
    players.handle(CreatePlayer("Ada"))
    let_first(store, rival_of)

    with pytest.raises(spry.ConcurrencyError):
        players.handle(Hit("Ada", 1))

    assert snapshots(backend, store) == 1
    assert backend.open(player.domain(meta)).repository(Player).fetch(name="Ada").wounds == [1, 1]


# Passed over ------------------------------------------------------------------------------------


def test_a_snapshot_is_used_where_it_is_right(backend: Backend) -> None:
    store = with_ada(backend, player.domain())
    last = stored(store, Player, name="Ada").events[-1].id

    # A state that no event tells of shows that it was not replayed.
    forge(store, last, state='{"name":"Ada","hit_points":1000,"wounds":[]}')

    assert store.repository(Player).fetch(name="Ada").hit_points == 1000


@pytest.mark.parametrize(
    "state", ["[]", "null", "1", '{"name":1}', '{"hit_points":"ten"}', '{"wounds":[null]}', '"x"']
)
def test_a_snapshot_that_is_no_such_state_is_passed_over_and_reported(
    backend: Backend, state: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = with_ada(backend, player.domain())
    players = store.repository(Player)
    last = stored(store, Player, name="Ada").events[-1].id

    forge(store, last, state=state)

    with caplog.at_level(logging.WARNING, "spry_sqla"):
        assert players.fetch(name="Ada") == Player("Ada", 97, [1, 2])
    assert "player_snapshots" in caplog.text
    assert players.handle(Hit("Ada", 3)).modified == Player("Ada", 94, [1, 2, 3])
    assert players.fetch(name="Ada", version=2) == Player("Ada", 99, [1])


@pytest.mark.parametrize("vector", ["[]", "{}", "1", "null", '{"main":"3"}', '{"main":null}'])
def test_a_snapshot_without_a_usable_vector_is_passed_over_and_reported(
    backend: Backend, vector: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = with_ada(backend, player.domain())
    last = stored(store, Player, name="Ada").events[-1].id

    forge(store, last, state='{"name":"Ada","hit_points":1000,"wounds":[]}', vector=vector)

    with caplog.at_level(logging.WARNING, "spry_sqla"):
        assert store.repository(Player).fetch(name="Ada") == Player("Ada", 97, [1, 2])
    assert "player_snapshots" in caplog.text


def test_a_snapshot_ahead_of_its_stream_is_passed_over(backend: Backend) -> None:
    store = with_ada(backend, player.domain())

    # Its last event was never stored, or was lost with a backup.
    forge(
        store,
        process_clock.next(),
        state='{"name":"Ada","hit_points":1000,"wounds":[]}',
        vector='{"main":4}',
        version=4,
    )

    players = store.repository(Player)
    assert players.fetch(name="Ada") == Player("Ada", 97, [1, 2])
    assert players.handle(Hit("Ada", 3)).modified == Player("Ada", 94, [1, 2, 3])


def test_a_snapshot_of_other_code_is_passed_over(backend: Backend) -> None:
    store = with_ada(backend, player.domain())
    last = stored(store, Player, name="Ada").events[-1].id

    forge(store, last, state='{"name":"Ada","hit_points":1000,"wounds":[]}', fingerprint="f" * 32)

    assert store.repository(Player).fetch(name="Ada") == Player("Ada", 97, [1, 2])


def test_a_raised_revision_passes_over_what_was_there(backend: Backend) -> None:
    store = with_ada(backend, player.domain())
    last = stored(store, Player, name="Ada").events[-1].id
    forge(store, last, state='{"name":"Ada","hit_points":1000,"wounds":[]}')

    again = backend.open(player.domain(spry.ActorMeta(revision=1))).repository(Player)
    back = backend.open(player.domain()).repository(Player)

    assert again.fetch(name="Ada") == Player("Ada", 97, [1, 2])
    assert back.fetch(name="Ada").hit_points == 1000


def test_a_changed_apply_shows_in_the_state(backend: Backend) -> None:
    once, twice = scores(1), scores(2)
    games = backend.start(once.domain).repository(once.state)
    for _ in range(3):
        games.handle(once.command())

    before = games.fetch(name="chess")
    after = backend.open(twice.domain).repository(twice.state).fetch(name="chess")

    assert (before.points, after.points) == (3, 6)


def test_a_mutating_decision_does_not_reach_a_snapshot(backend: Backend) -> None:
    store = backend.start(player.domain(spry.ActorMeta(snapshot_frequency=1)))
    players = store.repository(Player)
    players.handle(CreatePlayer("Ada"))

    players.handle(player.Curse("Ada", deadly=True))

    found = stored(store, Player, name="Ada").snapshot
    assert found is not None
    assert found.version == 2
    assert "cursed" not in found.state
    assert "666" not in found.state


def test_no_snapshot_has_seen_more_than_its_stream_has(backend: Backend) -> None:
    store = backend.start(player.domain(spry.ActorMeta(snapshot_frequency=2)))
    players = store.repository(Player)

    for points in range(7):
        players.handle_many([CreatePlayer("Ada"), Hit("Ada", points), Hit("Ada", points)])
        rows = stored(store, Player, name="Ada")
        assert rows.snapshot is None or (
            rows.snapshot.version <= len(rows.events)
            and rows.snapshot.last_event == rows.events[rows.snapshot.version - 1].id
        )


# Given ------------------------------------------------------------------------------------------


def snapshots(backend: Backend, store: Face) -> int:
    return backend.count(store.domain.actor(Player), "snapshots")


def with_ada(backend: Backend, domain: spry.Domain) -> Face:
    """Ada, made and hit twice; no snapshot."""
    store = backend.start(domain)
    store.repository(Player).handle_many([CreatePlayer("Ada"), Hit("Ada", 1), Hit("Ada", 2)])
    return store


def forge(store: Face, last_event: str, **row: Any) -> None:
    usual: dict[str, Any] = {"vector": '{"main":3}', "version": 3, "last_event": last_event}
    put_snapshot(store, Player, **{**usual, **row}, name="Ada")


@dataclass(frozen=True)
class Release:
    state: Any
    command: Any
    domain: spry.Domain


def scores(factor: int) -> Release:
    """One release of a game's code; a point counts as much as its `apply` says."""

    @dataclass
    class Game(spry.Actor):
        meta = spry.ActorMeta(snapshot_frequency=1)
        name: str = ""
        points: int = 0
        log: list[int] = field(default_factory=list)

        def identifiers(self) -> spry.Identifiers:
            return {"name": self.name}

    @dataclass(frozen=True)
    class Scored(spry.Event):
        name: str

        def apply(self, actor: object) -> None:
            assert isinstance(actor, Game)
            actor.name = self.name
            actor.points += factor

    @dataclass(frozen=True)
    class Score(spry.Command):
        name: str = "chess"

        def identifiers(self) -> spry.Identifiers:
            return {"name": self.name}

        def handle(self, actor: object) -> spry.Decision:
            yield Scored(self.name)

    return Release(Game, Score, spry.Domain(Game, Scored, Score))


@dataclass
class Empty(spry.Actor):
    """A state whose own code refuses what a snapshot holds."""

    name: str = ""
    count: int = 0
    meta = spry.ActorMeta(snapshot_frequency=2, snapshot_during_read=True)

    def __post_init__(self) -> None:
        if self.count:
            raise ValueError("it starts empty")

    def identifiers(self) -> spry.Identifiers:
        return {"name": self.name}


@dataclass(frozen=True)
class Fill(spry.Command):
    name: str

    def identifiers(self) -> spry.Identifiers:
        return {"name": self.name}

    def handle(self, actor: object) -> spry.Decision:
        return Filled(self.name)


@dataclass(frozen=True)
class Filled(spry.Event):
    name: str

    def apply(self, actor: Empty) -> None:
        actor.name, actor.count = self.name, actor.count + 1


def test_a_state_that_cannot_be_restored_is_replayed_and_works(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    pails = backend.start(spry.Domain(Empty, Fill, Filled)).repository(Empty)

    for count in range(1, 6):
        assert pails.handle(Fill("a")).modified.count == count
        assert pails.fetch(name="a").count == count

    assert caplog.text.count("took no snapshot") == 1  # and not at every command


@dataclass
class Line:
    item: str
    count: int = 1


@dataclass
class Basket(spry.Actor):
    """A state with parts that a snapshot would lose: no field, and one object in two places."""

    name: str = ""
    lines: dict[str, Line] = field(default_factory=dict)
    last: Line | None = None
    meta = spry.ActorMeta(snapshot_frequency=1, snapshot_during_read=True)

    def __post_init__(self) -> None:
        self._seen: set[str] = set()

    def identifiers(self) -> spry.Identifiers:
        return {"name": self.name}


@dataclass(frozen=True)
class Take(spry.Command):
    item: str
    hide: bool

    def identifiers(self) -> spry.Identifiers:
        return {"name": "a"}

    def handle(self, actor: Basket) -> spry.Decision:
        return Taken(self.item, self.hide)


@dataclass(frozen=True)
class Taken(spry.Event):
    item: str
    hide: bool

    def apply(self, actor: Basket) -> None:
        actor.name = "a"
        if self.hide:
            actor._seen.add(self.item)
        elif actor.last is not None:
            actor.last.count += 1
        else:
            actor.last = actor.lines[self.item] = Line(self.item)


@pytest.mark.parametrize(("hide", "part"), [(True, "Basket._seen"), (False, "are one object")])
def test_a_state_of_which_a_part_would_be_lost_takes_no_snapshot(
    backend: Backend, hide: bool, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = backend.start(spry.Domain(Basket, Take, Taken))
    baskets = store.repository(Basket)

    for item in ("x", "y", "z"):
        baskets.handle(Take(item, hide))

    found = baskets.fetch(name="a")
    assert found._seen == ({"x", "y", "z"} if hide else set())
    assert [line.count for line in found.lines.values()] == ([] if hide else [3])
    assert backend.count(store.domain.actor(Basket), "snapshots") == 0
    assert part in caplog.text


def test_time_travel_past_a_snapshot_that_cannot_be_read(backend: Backend) -> None:
    store = backend.start(player.domain())
    players = store.repository(Player)
    for command in (CreatePlayer("Ada"), Hit("Ada", 1), Hit("Ada", 2)):
        players.handle(command)
    rows = stored(store, Player, name="Ada").events
    last = rows[1].id
    put_snapshot(
        store, Player, state="[]", vector='{"main":2}', version=2, last_event=last, name="Ada"
    )

    assert players.fetch(name="Ada", version=2) == Player("Ada", 99, [1])
    if time_of(rows[2].id) > time_of(last):  # else no time lies between the two
        assert players.fetch(name="Ada", at=time_of(last)) == Player("Ada", 99, [1])


def test_a_snapshot_names_the_one_that_it_goes_on_from(backend: Backend) -> None:
    often = player.domain(spry.ActorMeta(snapshot_frequency=1))
    taken: list[SnapshotRecord] = []

    def see(operation: object, _: object) -> None:
        if isinstance(operation, Append):
            taken.extend(operation.snapshots)

    players = backend.start(often).observed(see).repository(Player)
    for command in (CreatePlayer("Ada"), Hit("Ada", 1), Hit("Ada", 2)):
        players.handle(command)

    assert [each.ancestor for each in taken] == [None, taken[0].id, taken[1].id]
