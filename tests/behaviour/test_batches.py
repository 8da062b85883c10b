"""`handle_many`: as one by one, in one atomic append."""

import pytest

import spry_sqla as spry
from spry_sqla.operations import Append
from tests.backends import Backend, let_first
from tests.domains import player
from tests.domains.player import Beat, CreatePlayer, Hit, Player, Rename, Stumble
from tests.rows import as_another


def test_each_command_sees_what_those_before_it_did(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)

    results = players.handle_many(
        [CreatePlayer("Ada"), Rename("Ada", "Eve"), Hit("Eve", 30), CreatePlayer("Ada")]
    )

    assert [each.ok for each in results] == [True, True, True, False]
    assert results[2].original == Player("Eve", 100)
    assert players.fetch(name="Eve") == Player("Eve", 70, [30])


def test_results_of_commands_that_do_nothing_share_no_state(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)
    players.handle_many([CreatePlayer("Ada"), Hit("Ada", 1)])

    results = players.handle_many([CreatePlayer("Ada"), Beat("Ada", ()), Hit("Ada", 2)])
    results[0].original.wounds.append(666)
    results[1].original.wounds.append(777)

    assert results[2].original == Player("Ada", 99, [1])
    assert results[2].modified == Player("Ada", 97, [1, 2])


def test_a_refused_command_does_not_hinder_the_others(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)

    results = players.handle_many([Hit("Ada", 1), CreatePlayer("Ada"), CreatePlayer("Ada")])

    assert [each.ok for each in results] == [False, True, False]
    assert players.fetch(name="Ada") == Player("Ada", 100)


def test_a_bug_in_one_command_means_that_nothing_of_the_batch_is_stored(backend: Backend) -> None:
    store = backend.start(player.domain())
    players = store.repository(Player)

    with pytest.raises(ZeroDivisionError):
        players.handle_many([CreatePlayer("Ada"), CreatePlayer("Bob"), Stumble("Ada")])

    for part in ("commands", "events", "id_map", "snapshots"):
        assert backend.count(store.domain.actor(Player), part) == 0


def test_a_conflict_on_one_actor_stores_nothing_of_the_others(backend: Backend) -> None:
    store = backend.start(player.domain(), attempts=1)
    players = store.repository(Player)
    players.handle_many([CreatePlayer("Ada"), CreatePlayer("Bob")])

    def bob_is_hit(append: Append) -> Append:
        return Append(append.actor, events=[as_another(append.events[-1])])

    let_first(store, bob_is_hit)
    with pytest.raises(spry.ConcurrencyError):
        players.handle_many([Hit("Ada", 1), Hit("Bob", 2)])

    assert players.fetch(name="Ada") == Player("Ada", 100)
    assert players.fetch(name="Bob") == Player("Bob", 98, [2])
    assert backend.count(store.domain.actor(Player), "commands") == 2


def test_an_empty_batch_does_nothing(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)

    assert players.handle_many([]) == []


def test_a_batch_may_be_any_iterable(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)

    results = players.handle_many(CreatePlayer(name) for name in ("Ada", "Bob"))

    assert [each.modified.name for each in results] == ["Ada", "Bob"]


def test_metadata_goes_with_each_command_of_a_batch(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)

    players.handle_many([CreatePlayer("Ada"), Hit("Ada", 1)], metadata={"user": "eve"})

    assert [each.metadata for each in players.history(name="Ada")] == [{"user": "eve"}] * 2


def test_keys_are_one_per_command(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)

    with pytest.raises(spry.UnusableValue, match="idempotency_keys="):
        players.handle_many([CreatePlayer("Ada")], idempotency_keys=["a", "b"])

    assert not players.exists(name="Ada")


def test_a_batch_of_hundreds_of_actors_is_handled(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)
    names = [f"player {number}" for number in range(300)]

    players.handle_many([CreatePlayer(name) for name in names])
    players.handle_many([Beat(name, (1, 2)) for name in names])

    assert len(list(players.actors())) == 300
    assert all(players.fetch(name=name) == Player(name, 97, [1, 2]) for name in names[::50])
