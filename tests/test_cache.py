"""What is remembered of actors, and what the logic asks before it believes it; no database."""

import time
from typing import Any

import msgspec
import pytest

import spry_sqla as spry
from spry_sqla.cache import CALM, Cache
from spry_sqla.clock import Clock
from spry_sqla.operations import (
    Append,
    Appended,
    Conflict,
    Holds,
    Load,
    Loaded,
    Loading,
    Owner,
    Pause,
    ReadCommands,
    Resolve,
)
from spry_sqla.reading import Context, fetch
from spry_sqla.replay import Replay
from tests.domains import player
from tests.domains.player import CreatePlayer, Hit, Player, Rename, Stumble
from tests.test_sans_io import (
    DOMAIN,
    LOST,
    NOBODY,
    Asked,
    Toast,
    answered,
    context,
    handle,
    loaded,
    nobody,
    someone,
    work_of,
)

SECOND = 10**9


def remembering(attempts: int = 50) -> tuple[Context[Player], list[Any]]:
    """A context that remembers Ada, just created; the rows of her events."""
    by = context(attempts, remembers=10)
    created = handle([CreatePlayer("Ada")], [nobody(), Appended()], by=by)
    return by, list(created.appends[0].events)


# Commands ---------------------------------------------------------------------------------------


def test_the_next_command_is_one_append_that_relies_on_the_state_before() -> None:
    by, (created,) = remembering()

    asked = handle([Hit("Ada", 1)], [Appended()], by=by)

    assert asked.kinds == [Append]
    (position,) = asked.appends[0].relies_on
    assert (position.actor_id, position.head) == (created.actor_id, created.id)
    assert position.origin == "main"
    assert [event.sequence for event in asked.appends[0].events] == [2]
    assert asked.result[0].original == Player("Ada", 100)
    assert asked.result[0].modified == Player("Ada", 99, [1])


def test_what_was_loaded_is_not_relied_on() -> None:
    by, rows = remembering()
    by.cache.clear()

    asked = handle([Hit("Ada", 1)], [someone(rows), Appended()], by=by)

    assert asked.kinds == [Load, Append]
    assert asked.appends[0].relies_on == []


def test_where_another_writer_was_first_it_loads_at_once_and_remembers_for_a_while_no_more() -> (
    None
):
    """Else, where two take turns, each append would be tried in vain before."""
    by, rows = remembering()
    Toast.decided.clear()

    asked = handle([Toast("Ada")], [Conflict(), someone(rows), Appended()], by=by)

    assert asked.kinds == [Append, Load, Append]
    assert len(Toast.decided) == 2
    loads = 0
    while handle([CreatePlayer("Ada")], [], by=by).kinds == [Load]:
        handle([CreatePlayer("Ada")], [someone(rows)], by=by)
        loads += 1
    assert loads == CALM


def test_what_was_outdated_was_no_attempt() -> None:
    by, rows = remembering(attempts=2)
    answers = [Conflict(), someone(rows), Conflict(), someone(rows), Appended()]

    asked = handle([Hit("Ada", 1)], answers, by=by)

    assert asked.kinds == [Append, Load, Append, Pause, Load, Append]
    assert asked.error is None


def test_a_command_that_stores_nothing_asks_whether_that_holds() -> None:
    by, _ = remembering()

    asked = handle([CreatePlayer("Ada")], [True], by=by)

    assert asked.kinds == [Holds]
    assert not asked.result[0].ok
    assert handle([Hit("Ada", 1)], [Appended()], by=by).kinds == [Append]


def test_and_decides_again_where_it_does_not() -> None:
    by, rows = remembering()
    hit = handle([Hit("Ada", 100)], [someone(rows), Appended()]).appends[0].events

    asked = handle([player.Curse("Ada", deadly=False)], [False, someone([*rows, *hit])], by=by)

    assert asked.kinds == [Holds, Load]
    assert asked.result[0].original.hit_points == 0


@pytest.mark.parametrize("holds", [True, False])
def test_what_a_handle_raises_is_raised_where_it_holds(holds: bool) -> None:
    by, rows = remembering()

    asked = handle([Stumble("Ada")], [True] if holds else [False, someone(rows)], by=by)

    assert asked.kinds == ([Holds] if holds else [Holds, Load])
    assert isinstance(asked.error, ZeroDivisionError)


def test_a_key_goes_with_the_append_or_is_asked_for() -> None:
    by, _ = remembering()
    stored = handle([Hit("Ada", 1)], [Appended()], keys=["k1"], by=by)
    refused = handle([CreatePlayer("Ada")], [True], keys=["k2"], by=by)

    assert stored.kinds == [Append]
    assert refused.kinds == [Holds]
    assert refused.operations[0].keys == ("k2",)


def test_a_key_of_a_batch_whose_command_stores_nothing_is_asked_for_first() -> None:
    by, _ = remembering()
    commands, keys = [Hit("Ada", 1), CreatePlayer("Ada")], ["k1", "k2"]

    asked = handle(commands, [True, Appended()], keys=keys, by=by)

    assert asked.kinds == [Holds, Append]
    assert asked.operations[0].keys == ("k1", "k2")


def test_a_batch_needs_no_load_where_all_of_it_is_remembered() -> None:
    by, rows = remembering()
    handle([CreatePlayer("Bob")], [nobody(), Appended()], by=by)

    both = handle([Hit("Ada", 1), Hit("Bob", 2), Hit("Ada", 3)], [Appended()], by=by)
    assert both.kinds == [Append]
    assert len(both.appends[0].relies_on) == 2
    assert [event.sequence for event in both.appends[0].events] == [2, 2, 3]

    mine = [*rows, *(each for each in both.appends[0].events if each.actor_id == rows[0].actor_id)]
    one = handle(
        [Hit("Ada", 1), CreatePlayer("Eve")],
        [Loading([loaded(mine), loaded()], {}), Appended()],
        by=by,
    )
    assert one.kinds == [Load, Append]
    assert len(one.operations[0].targets) == 2


def test_whether_an_append_was_stored_is_found_out_as_ever() -> None:
    by, rows = remembering()
    work = work_of([Hit("Ada", 1)], by=by)
    asked = answered(work, [LOST])
    (append,) = asked.appends

    asked = answered(work, [someone([*rows, *append.events]), [append.commands[0]]], asked)

    assert asked.kinds == [Append, Pause, Load, ReadCommands]
    assert asked.result[0].modified == Player("Ada", 99, [1])


def test_an_actor_that_got_another_name_is_not_remembered() -> None:
    """Two names would have a memory each, of which one is outdated."""
    by, _ = remembering()

    asked = handle([Rename("Ada", "Eve")], [NOBODY, Appended()], by=by)

    assert asked.kinds == [Resolve, Append]
    assert handle([Hit("Ada", 1)], [], by=by).kinds == [Load]
    assert handle([Hit("Eve", 1)], [], by=by).kinds == [Load]


def test_neither_by_the_new_name_when_a_command_of_the_batch_has_used_it() -> None:
    by, _ = remembering()
    by.cache.clear()
    rows = handle([CreatePlayer("Ada")], [nobody(), Appended()]).appends[0].events

    renamed = [Rename("Ada", "Eve"), Hit("Eve", 1)]
    asked = handle(renamed, [Loading([loaded(rows), loaded()], {}), NOBODY, Appended()], by=by)

    assert asked.result[1].modified.name == "Eve"
    assert handle([Hit("Ada", 1)], [], by=by).kinds == [Load]
    assert handle([Hit("Eve", 1)], [], by=by).kinds == [Load]


def test_an_actor_of_two_names_has_one_memory() -> None:
    by, rows = remembering()
    alias = Loading([Loaded(Owner(rows[0].actor_id, True, None), None, list(rows), False)], {})
    eve = CreatePlayer("Eve")
    assert handle([eve], [alias], by=by).kinds == [Load]

    assert handle([Hit("Ada", 1)], [], by=by).kinds == [Load]
    assert handle([Hit("Eve", 1)], [Appended()], by=by).kinds == [Append]


def test_an_error_of_the_storage_is_not_taken_for_one_of_the_command() -> None:
    """It is not asked whether it holds: a storage that is away would be waited for twice."""
    by, _ = remembering()
    work = work_of([Rename("Ada", "Eve")], by=by)
    assert isinstance(next(work), Resolve)
    with pytest.raises(spry.StorageFailure):
        work.throw(spry.StorageFailure("the disk is full"))


def test_where_other_origins_write_too_nothing_is_remembered() -> None:
    by, (created,) = remembering()
    by.cache.clear()
    foreign = msgspec.structs.replace(created, origin="east")

    handle([Hit("Ada", 1)], [someone([foreign]), Appended()], by=by)

    assert handle([Hit("Ada", 1)], [], by=by).kinds == [Load]


def test_who_may_decide_once_loads() -> None:
    """As `attempts=1` says; and so does a transaction."""
    by = context(attempts=1, remembers=10)
    handle([CreatePlayer("Ada")], [nobody(), Appended()], by=by)
    assert handle([Hit("Ada", 1)], [], by=by).kinds == [Load]


def test_snapshots_are_taken_when_they_are_due_and_not_again() -> None:
    by, _ = remembering()
    taken = [
        len(handle([Hit("Ada", 1)], [Appended()], by=by).appends[0].snapshots) for _ in range(22)
    ]
    assert [place for place, snapshots in enumerate(taken, 2) if snapshots] == [10, 20]


def test_what_an_application_changes_in_results_is_not_remembered() -> None:
    by, _ = remembering()
    for commands, answers in (
        ([Hit("Ada", 1)], [Appended()]),
        ([CreatePlayer("Ada")], [True]),
        ([Hit("Ada", 1), CreatePlayer("Ada")], [Appended()]),
    ):
        for result in handle(commands, answers, by=by).result:
            result.original.wounds.append(1_000)
            result.modified.wounds.append(1_000)

    assert handle([Hit("Ada", 1)], [Appended()], by=by).result[0].original.wounds == [1, 1]


# Reads ------------------------------------------------------------------------------------------


def fetched(by: Context[Player], answers: list[Any], **options: Any) -> Asked:
    return answered(fetch(by, {"name": "Ada"}, **options), answers)


def test_a_read_asks_whether_what_is_remembered_holds() -> None:
    by, rows = remembering()

    first, again = fetched(by, [True]), fetched(by, [True])
    first.result.state.wounds.append(1_000)

    assert first.kinds == again.kinds == [Holds]
    assert again.result.state == Player("Ada", 100)
    moved = fetched(by, [False, someone(rows)])
    assert moved.kinds == [Holds, Load]
    by.cache.clear()
    assert fetched(by, [someone(rows)]).kinds == [Load]
    assert fetched(by, [True]).kinds == [Holds]


def test_a_command_on_what_a_read_left_sorts_after_it() -> None:
    """Another process has written it, whose clock is ahead."""
    ahead = context(clock=Clock(lambda: time.time_ns() + 20 * SECOND))
    rows = handle([CreatePlayer("Ada")], [nobody(), Appended()], by=ahead).appends[0].events
    by = context(clock=Clock(), remembers=10)
    fetched(by, [someone(list(rows))])

    hit = handle([Hit("Ada", 1)], [Appended()], by=by)

    assert hit.kinds == [Append]
    assert rows[0].id < hit.appends[0].commands[0].id < hit.appends[0].events[0].id


def test_nor_is_one_decided_after_what_is_too_far_ahead() -> None:
    ahead = context(clock=Clock(lambda: time.time_ns() + 3600 * SECOND))
    rows = handle([CreatePlayer("Ada")], [nobody(), Appended()], by=ahead).appends[0].events
    by = context(clock=Clock(), remembers=10)
    assert fetched(by, [someone(list(rows))]).result.state == Player("Ada", 100)

    with pytest.raises(spry.ClockTooFarAhead):
        next(work_of([Hit("Ada", 1)], by=by))


@pytest.mark.parametrize("stored", [Appended(), Conflict()])
def test_a_snapshot_is_one_where_it_was_stored(stored: Any) -> None:
    often = player.domain(spry.ActorMeta(snapshot_frequency=1, snapshot_during_read=True))
    by: Context[Player] = Context(
        often, often.actor(Player), "main", Clock(), 50, 60.0, Cache(10)
    )  # fmt: skip
    rows = handle([CreatePlayer("Ada")], [nobody(), Appended()]).appends[0].events

    first = fetched(by, [someone(list(rows)), stored])

    assert first.kinds == [Load, Append]
    again = fetched(by, [])
    assert again.kinds == ([Holds] if stored == Appended() else [Load])


def test_a_read_of_the_past_loads() -> None:
    by, rows = remembering()
    assert fetched(by, [someone(rows)], version=1).kinds == [Load]


def test_nobody_is_remembered_who_is_not_there() -> None:
    by = context(remembers=10)
    assert fetched(by, [nobody()]).kinds == fetched(by, [nobody()]).kinds == [Load]


# The memory -------------------------------------------------------------------------------------


def replay(actor_id: str = "1" * 32) -> Replay[Player]:
    return Replay(DOMAIN, DOMAIN.actor(Player), actor_id)


def test_what_was_used_longest_ago_is_forgotten() -> None:
    cache: Cache[Player] = Cache(2)
    for name in (b"a", b"b"):
        cache.put(name, replay(name.decode()))
    again = cache.take(b"a")
    assert again is not None
    cache.put(b"a", again)

    cache.put(b"c", replay("c"))

    assert cache.take(b"b") is None
    assert cache.take(b"a") is again
    assert cache.take(b"a") is None  # one user at a time
    assert cache.take(b"c") is not None


def test_none_is_none() -> None:
    cache: Cache[Player] = Cache(0)
    cache.put(b"a", replay())
    assert cache.take(b"a") is None


@pytest.mark.parametrize("size", [-1, 1.0, True, "1", None])
def test_a_size_is_a_whole_number(size: Any) -> None:
    with pytest.raises(spry.DefinitionError, match="cache_size= must be a whole number from 0"):
        spry.MemoryStorage(DOMAIN, cache_size=size)


@pytest.mark.parametrize("use", ["taken", "put", "moved"])
def test_what_is_kept_of_many_actors_is_bounded(use: str) -> None:
    cache: Cache[Player] = Cache(2)
    for number in range(10):
        digest = b"%d" % number
        if use == "moved":
            cache.moved(digest)
        else:
            cache.put(digest, replay(str(number)))
        if use == "taken":
            cache.take(digest)

    left = 0 if use == "taken" else 2
    held = [len(cache._replays), len(cache._names), len(cache._moved)]
    assert held == ([0, 0, left] if use == "moved" else [left, left, 0])
