"""Reading: as it is, as it was, how it came about, and who there is."""

from datetime import UTC, datetime, timedelta

import pytest

import spry_sqla as spry
from tests.backends import Backend
from tests.domains import player
from tests.domains.player import Beat, CreatePlayer, Hit, Player, PlayerCreated, PlayerHit, Rename


def test_an_actor_without_events_is_the_zero_state_and_does_not_exist(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)

    assert players.fetch(name="Ada") == Player()
    assert players.get(name="Ada") is None
    assert not players.exists(name="Ada")
    assert list(players.history(name="Ada")) == []
    assert list(players.actors()) == []


def test_reading_stores_nothing(backend: Backend) -> None:
    store = backend.start(player.domain())
    players = store.repository(Player)

    players.fetch(name="Ada")
    players.exists(name="Ada")
    list(players.history(name="Ada"))

    kind = store.domain.actor(Player)
    for part in ("commands", "events", "id_map", "snapshots"):
        assert backend.count(kind, part) == 0


@pytest.mark.parametrize("frequency", [1, 2, 10])
def test_each_version_can_be_fetched(backend: Backend, frequency: int) -> None:
    meta = spry.ActorMeta(snapshot_frequency=frequency)
    players = backend.start(player.domain(meta)).repository(Player)
    players.handle(CreatePlayer("Ada"))
    players.handle(Beat("Ada", (1, 2)))
    players.handle(Hit("Ada", 3))

    states = [players.fetch(name="Ada", version=version) for version in range(6)]

    assert states == [
        Player(),
        Player("Ada", 100),
        Player("Ada", 99, [1]),
        Player("Ada", 97, [1, 2]),
        Player("Ada", 94, [1, 2, 3]),
        Player("Ada", 94, [1, 2, 3]),
    ]


@pytest.mark.usefixtures("own_clock")
@pytest.mark.parametrize("frequency", [1, 2, 10])
def test_each_moment_can_be_fetched(backend: Backend, frequency: int) -> None:
    meta = spry.ActorMeta(snapshot_frequency=frequency)
    players = backend.start(player.domain(meta)).repository(Player)
    for command in (CreatePlayer("Ada"), Hit("Ada", 1), Hit("Ada", 2)):
        players.handle(command)

    times = [entry.time for entry in players.history(name="Ada")]

    assert [players.fetch(name="Ada", at=time).wounds for time in times] == [[], [1], [1, 2]]
    before = times[0] - timedelta(microseconds=1)
    assert players.fetch(name="Ada", at=before) == Player()
    assert players.fetch(name="Ada", at=datetime(1, 1, 1, tzinfo=UTC)) == Player()
    assert players.fetch(name="Ada", at=datetime.max.replace(tzinfo=UTC)).wounds == [1, 2]


@pytest.mark.usefixtures("own_clock")
def test_a_version_and_a_moment_bound_a_read_together(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)
    for command in (CreatePlayer("Ada"), Hit("Ada", 1), Hit("Ada", 2)):
        players.handle(command)
    _, second, third = (entry.time for entry in players.history(name="Ada"))

    assert players.fetch(name="Ada", version=2, at=third).wounds == [1]
    assert players.fetch(name="Ada", version=3, at=second).wounds == [1]


@pytest.mark.parametrize("version", [-1, 1.0, True, "1"])
def test_a_version_is_a_whole_number(backend: Backend, version: int) -> None:
    players = backend.start(player.domain()).repository(Player)

    with pytest.raises(spry.UnusableValue, match="version="):
        players.fetch(name="Ada", version=version)


def test_a_moment_has_a_zone(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)

    with pytest.raises(spry.UnusableValue, match="naive"):
        players.fetch(name="Ada", at=datetime(2020, 1, 1))


def test_history_tells_each_event_with_its_command_and_metadata(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)
    before = datetime.now(UTC) - timedelta(milliseconds=1)

    players.handle(CreatePlayer("Ada"), metadata={"user": "eve", "trace": {"id": (1, 2)}})
    players.handle(Beat("Ada", (1, 2)))

    first, second, third = players.history(name="Ada")
    assert (first.version, second.version, third.version) == (1, 2, 3)
    assert (first.event, first.command) == (PlayerCreated("Ada"), CreatePlayer("Ada"))
    assert (second.event, third.event) == (PlayerHit(1), PlayerHit(2))
    assert second.command == third.command == Beat("Ada", (1, 2))
    assert first.metadata == {"user": "eve", "trace": {"id": (1, 2)}}
    assert second.metadata == {}
    assert before <= first.time <= second.time <= third.time
    assert all(entry.time.utcoffset() == timedelta(0) for entry in (first, second, third))


def test_history_is_the_same_by_any_of_an_actors_names(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)
    players.handle_many([CreatePlayer("Ada"), Rename("Ada", "Eve"), Hit("Ada", 1)])

    assert list(players.history(name="Ada")) == list(players.history(name="Eve"))


def test_actors_are_listed_once_by_the_name_given_last(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)

    players.handle_many([CreatePlayer("Ada"), CreatePlayer("Bob"), Rename("Ada", "Eve")])

    assert list(players.actors()) == [{"name": "Eve"}, {"name": "Bob"}]


def test_actors_are_each_listed_once_whatever_is_done_with_them_meanwhile(
    backend: Backend, small_pages: int
) -> None:
    players = backend.start(player.domain()).repository(Player)
    names = [f"player {number}" for number in range(3 * small_pages)]
    players.handle_many([CreatePlayer(name) for name in names])

    seen = []
    for each in players.actors():
        seen.append(each["name"])
        assert len(seen) <= len(names)
        players.handle_many([Rename(str(each["name"]), f"old {len(seen)}"), CreatePlayer("more")])
        players.handle(CreatePlayer(f"another {len(seen)}"))

    assert seen == names


def test_a_version_beyond_all_events_is_the_newest(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)
    players.handle_many([CreatePlayer("Ada"), Hit("Ada", 1)])

    for version in (3, 2**63 - 1, 2**63, 10**40):
        assert players.fetch(name="Ada", version=version) == Player("Ada", 99, [1])


def test_long_reads_go_page_by_page(backend: Backend, small_pages: int) -> None:
    meta = spry.ActorMeta(snapshot_frequency=100)
    players = backend.start(player.domain(meta)).repository(Player)
    names = [f"player {number}" for number in range(2 * small_pages + 1)]
    points = tuple(range(2 * small_pages + 1))

    players.handle_many([CreatePlayer(name) for name in names])
    players.handle(Beat(names[0], points))

    assert players.fetch(name=names[0]).wounds == list(points)
    assert players.fetch(name=names[0], version=small_pages + 2).wounds == list(
        points[: small_pages + 1]
    )
    assert [entry.version for entry in players.history(name=names[0])] == list(
        range(1, len(points) + 2)
    )
    assert sorted(str(each["name"]) for each in players.actors()) == sorted(names)


@pytest.mark.parametrize("events", range(8))
def test_a_read_is_whole_wherever_the_page_ends(
    backend: Backend, small_pages: int, events: int
) -> None:
    players = backend.start(player.domain()).repository(Player)
    players.handle(CreatePlayer("Ada"))

    players.handle(Beat("Ada", tuple(range(events))))

    assert players.fetch(name="Ada").wounds == list(range(events))
    assert len(list(players.history(name="Ada"))) == events + 1


def test_a_batch_of_many_events_keeps_its_order(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)
    points = tuple(range(1500))

    players.handle(CreatePlayer("Ada"))
    players.handle(Beat("Ada", points))

    assert players.fetch(name="Ada").wounds == list(points)
    assert players.fetch(name="Ada", version=1001).wounds == list(points[:1000])
