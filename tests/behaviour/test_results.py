"""What `handle` answers, on every backend."""

import pytest

import spry_sqla as spry
from tests.backends import Backend
from tests.domains import player
from tests.domains.player import (
    Beat,
    CreatePlayer,
    Curse,
    Hit,
    Player,
    PlayerCreated,
    PlayerHit,
)


def test_results_hold_the_state_before_and_after_and_what_happened(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)
    players.handle(CreatePlayer("Ada"))

    results = players.handle(Hit("Ada", 30))

    assert results.ok
    assert results.original == Player("Ada", 100)
    assert results.modified == Player("Ada", 70, [30])
    assert results.events == [PlayerHit(30)]
    assert results.errors == []
    assert results.unwrap() == results.modified


def test_the_first_command_starts_from_the_zero_state(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)

    results = players.handle(CreatePlayer("Ada"))

    assert results.original == Player()
    assert results.events == [PlayerCreated("Ada")]


def test_a_refused_command_stores_nothing_and_unwrap_raises_its_error(backend: Backend) -> None:
    store = backend.start(player.domain())
    players = store.repository(Player)

    results = players.handle(Hit("Ada", 30))

    assert not results.ok
    assert results.original == results.modified == Player()
    assert results.events == []
    with pytest.raises(spry.Rejected, match="nobody to hit") as caught:
        results.unwrap()
    assert caught.value is results.errors[0]
    assert backend.count(store.domain.actor(Player), "commands") == 0
    assert not players.exists(name="Ada")


def test_unwrap_raises_several_errors_as_a_group(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)

    results = players.handle(Beat("Ada", (1,)))

    assert len(results.errors) == 2
    with pytest.raises(ExceptionGroup) as caught:
        results.unwrap()
    assert list(caught.value.exceptions) == results.errors


def test_a_command_that_does_nothing_is_no_error_and_stores_nothing(backend: Backend) -> None:
    store = backend.start(player.domain())
    players = store.repository(Player)
    players.handle(CreatePlayer("Ada"))

    results = players.handle(Hit("Ada", 0))

    assert results.ok
    assert results.original == results.modified == results.unwrap() == Player("Ada", 100)
    assert backend.count(store.domain.actor(Player), "commands") == 1


@pytest.mark.parametrize(
    "command", [Hit("Ada", 30), Hit("Ada", 0), CreatePlayer("Ada"), Curse("Ada", deadly=False)]
)
def test_original_and_modified_share_no_mutable_part(
    backend: Backend, command: spry.Command
) -> None:
    players = backend.start(player.domain()).repository(Player)
    players.handle(CreatePlayer("Ada"))
    players.handle(Hit("Ada", 1))

    results = players.handle(command)
    results.modified.wounds.append(99)
    results.modified.name = "changed"

    assert results.original == Player("Ada", 99, [1])
    assert players.fetch(name="Ada").wounds[:1] == [1]
    assert 99 not in players.fetch(name="Ada").wounds


def test_what_is_done_to_a_fetched_state_stays_there(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)
    players.handle(CreatePlayer("Ada"))

    players.fetch(name="Ada").wounds.append(99)

    assert players.fetch(name="Ada") == Player("Ada", 100)


@pytest.mark.parametrize("deadly", [True, False])
def test_a_decision_that_changes_its_actor_changes_nothing(backend: Backend, deadly: bool) -> None:
    meta = spry.ActorMeta(snapshot_frequency=1)
    players = backend.start(player.domain(meta)).repository(Player)
    players.handle(CreatePlayer("Ada"))

    results = players.handle(Curse("Ada", deadly=deadly))

    after = Player("Ada", 0, [100]) if deadly else Player("Ada", 100)
    assert results.original == Player("Ada", 100)
    assert results.modified == after
    assert players.fetch(name="Ada") == after
    assert not players.exists(name="cursed")


def test_the_state_after_handle_is_the_state_that_is_fetched(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)

    results = players.handle_many([CreatePlayer("Ada"), Beat("Ada", (1, 2, 3)), Hit("Ada", 4)])

    assert players.fetch(name="Ada") == results[-1].modified
    assert players.get(name="Ada") == players.fetch({"name": "Ada"}) == results[-1].modified
