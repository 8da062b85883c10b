"""The logic with no database at all: its generators are run by hand, and answered by hand."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec
import pytest

import spry_sqla as spry
from spry_sqla.cache import Cache
from spry_sqla.clock import Clock
from spry_sqla.domain import ActorKind
from spry_sqla.envelope import seal
from spry_sqla.handling import handle_many
from spry_sqla.operations import (
    RECONNECTS,
    ActorPage,
    Append,
    Appended,
    Conflict,
    Emit,
    EventPage,
    HistoryPage,
    Load,
    Loaded,
    Loading,
    Owner,
    Pause,
    ReadActors,
    ReadCommands,
    ReadEvents,
    ReadHistory,
    Resolve,
    StoredSnapshot,
    Unavailable,
)
from spry_sqla.reading import RESTARTS, Context, actors, fetch, history
from spry_sqla.records import EventRecord, StoredEvent
from tests.domains import player
from tests.domains.player import CreatePlayer, Hit, Player, PlayerCreated, PlayerHit, Rename

NOBODY = Owner(None, False, None)
LOST = Unavailable(spry.StorageUnavailable("the cable was cut"))


@dataclass(frozen=True)
class Toast(player.OfPlayer):
    """Counts how often it decides."""

    decided: ClassVar[list[Player]] = []

    def handle(self, actor: object) -> spry.Decision:
        assert isinstance(actor, Player)
        self.decided.append(actor)
        yield PlayerHit(1)


@dataclass
class Asked:
    """What a generator asked for, and what it came to."""

    operations: list[Any] = field(default_factory=list)
    result: Any = None
    error: Exception | None = None

    @property
    def kinds(self) -> list[type]:
        return [type(operation) for operation in self.operations]

    @property
    def appends(self) -> list[Append]:
        return [each for each in self.operations if isinstance(each, Append)]


def test_handling_a_command_is_one_load_and_one_append() -> None:
    asked = handle([CreatePlayer("Ada")], [nobody(), Appended()])

    assert asked.kinds == [Load, Append]
    assert asked.result[0].events == [PlayerCreated("Ada")]
    assert asked.result[0].modified == Player("Ada", 100)


def test_an_append_holds_the_command_its_events_and_the_new_mapping_in_the_order_of_their_ids() -> (
    None
):
    (load, append) = handle([CreatePlayer("Ada")], [nobody(), Appended()]).operations

    (command,), (event,), (mapping,) = append.commands, append.events, append.mappings
    assert command.id < event.id < mapping.id
    assert event.command_id == mapping.command_id == command.id
    assert event.actor_id == mapping.actor_id == command.actor_id == load.targets[0].native_id
    assert mapping.digest == load.targets[0].digest
    assert (event.origin, event.sequence, event.seen) == ("main", 1, None)
    assert not append.links
    assert not append.snapshots


def test_a_command_that_does_nothing_or_is_refused_appends_nothing() -> None:
    nothing = handle([player.Curse("Ada", deadly=False)], [nobody()])
    refused = handle([Hit("Ada", 1)], [nobody()])

    assert nothing.kinds == refused.kinds == [Load]
    assert nothing.result[0].ok
    assert not refused.result[0].ok


def test_a_key_that_whoever_took_the_identifiers_has_used_is_seen() -> None:
    """They are asked for after the load; so it loads again before it says that they are taken."""
    created = handle([CreatePlayer("Ada")], [nobody(), Appended()]).appends[0]
    eve = handle([CreatePlayer("Eve")], [nobody(), Appended()], keys=["k"]).appends[0]
    taken = Owner(eve.events[0].actor_id, True, None)
    ada = loaded(created.events)

    rename = [Rename("Ada", "Eve")]
    answers = [Loading([ada], {}), taken, Loading([ada], {"k": eve.commands[0].id})]
    used = handle(rename, [*answers, list(eve.commands)], keys=["k"])
    unused = handle(rename, [Loading([ada], {}), taken] * 2, keys=["k"])

    assert used.kinds == [Load, Resolve, Load, ReadCommands]
    assert isinstance(used.error, spry.KeyReused)
    assert unused.kinds == [Load, Resolve, Load, Resolve]
    assert isinstance(unused.result[0].errors[0], spry.IdentifiersTaken)


def test_a_batch_is_one_load_and_one_append() -> None:
    commands = [CreatePlayer("Ada"), CreatePlayer("Bob"), Hit("Ada", 3)]

    asked = handle(commands, [Loading([loaded(), loaded()], {}), Appended()])

    assert asked.kinds == [Load, Append]
    assert len(asked.operations[0].targets) == 2
    assert [event.sequence for event in asked.appends[0].events] == [1, 1, 2]


def test_of_two_writers_the_later_one_pauses_loads_and_decides_again() -> None:
    first = handle([CreatePlayer("Ada")], [nobody(), Appended()]).appends[0]

    asked = handle([CreatePlayer("Ada")], [nobody(), Conflict(), someone(first.events)])

    assert asked.kinds == [Load, Append, Pause, Load]
    assert [str(error) for error in asked.result[0].errors] == ["the name is taken"]


def test_a_conflict_lets_the_command_decide_again_on_the_newer_state() -> None:
    created = handle([CreatePlayer("Ada")], [nobody(), Appended()]).appends[0].events
    hit = handle([Hit("Ada", 30)], [someone(created), Appended()]).appends[0].events
    Toast.decided.clear()

    asked = handle(
        [Toast("Ada")], [someone(created), Conflict(), someone([*created, *hit]), Appended()]
    )

    assert asked.kinds == [Load, Append, Pause, Load, Append]
    assert [state.hit_points for state in Toast.decided] == [100, 70]
    assert [append.events[0].sequence for append in asked.appends] == [2, 3]
    assert asked.result[0].modified.hit_points == 69


def test_ids_of_a_second_attempt_sort_after_what_it_was_decided_on() -> None:
    ahead = Clock(lambda: 4_000_000_000_000_000_000)
    later = handle([CreatePlayer("Ada")], [nobody(), Appended()], clock=ahead).appends[0].events

    asked = handle(
        [Toast("Ada")],
        [nobody(), Conflict(), someone(later), Appended()],
        clock=Clock(lambda: 3_999_999_999_000_000_000),
    )

    assert asked.appends[1].commands[0].id > later[-1].id


def test_attempts_are_bounded() -> None:
    created = handle([CreatePlayer("Ada")], [nobody(), Appended()]).appends[0].events

    asked = handle([Hit("Ada", 1)], [someone(created), Conflict()] * 3, attempts=3)

    assert asked.kinds == [*[Load, Append, Pause] * 2, Load, Append]
    assert isinstance(asked.error, spry.ConcurrencyError)
    assert "Player" in str(asked.error)
    assert "attempts=" in str(asked.error)


def test_pauses_are_data_and_stay_short() -> None:
    created = handle([CreatePlayer("Ada")], [nobody(), Appended()]).appends[0].events

    asked = handle([Hit("Ada", 1)], [someone(created), Conflict()] * 50, attempts=50)

    waits = [each.seconds for each in asked.operations if isinstance(each, Pause)]
    assert len(waits) == 49
    assert all(0 <= seconds <= 0.25 for seconds in waits)


def test_an_append_that_was_stored_before_the_connection_broke_is_not_repeated() -> None:
    Toast.decided.clear()
    created = handle([CreatePlayer("Ada")], [nobody(), Appended()]).appends[0].events

    work = work_of([Toast("Ada")])
    asked = answered(work, [someone(created), LOST])
    command = asked.appends[0].commands[0]
    there = [someone([*created, *asked.appends[0].events]), [command]]
    asked = answered(work, there, asked)

    assert asked.kinds == [Load, Append, Pause, Load, ReadCommands]
    assert asked.operations[-1].ids == (command.id,)
    assert len(Toast.decided) == 1
    assert asked.result[0].events == [PlayerHit(1)]


def test_an_append_that_was_lost_with_the_connection_is_decided_again() -> None:
    Toast.decided.clear()
    created = handle([CreatePlayer("Ada")], [nobody(), Appended()]).appends[0].events

    asked = handle([Toast("Ada")], [someone(created), LOST, someone(created), [], Appended()])

    assert asked.kinds == [Load, Append, Pause, Load, ReadCommands, Append]
    assert len(Toast.decided) == 2
    assert len(asked.appends[1].events) == 1


def test_every_attempt_whose_outcome_is_not_known_is_asked_for() -> None:
    created = handle([CreatePlayer("Ada")], [nobody(), Appended()]).appends[0].events

    asked = handle(
        [Toast("Ada")],
        [someone(created), LOST, someone(created), [], LOST, someone(created), [], Appended()],
    )

    first, second, _ = (append.commands[0].id for append in asked.appends)
    assert [each.ids for each in asked.operations if isinstance(each, ReadCommands)] == [
        (first,),
        (first, second),
    ]


def test_an_append_that_surely_stored_nothing_is_not_asked_for() -> None:
    created = handle([CreatePlayer("Ada")], [nobody(), Appended()]).appends[0].events
    locked = Unavailable(spry.StorageUnavailable("locked"), nothing_stored=True)

    asked = handle([Toast("Ada")], [someone(created), locked, someone(created), Appended()])

    assert asked.kinds == [Load, Append, Pause, Load, Append]


def test_a_connection_that_stays_broken_is_an_error_that_says_what_is_not_known() -> None:
    created = handle([CreatePlayer("Ada")], [nobody(), Appended()]).appends[0].events
    answers: list[Any] = [someone(created), LOST] + [someone(created), [], LOST] * RECONNECTS

    asked = handle([Toast("Ada")], answers)

    assert len(asked.appends) == RECONNECTS + 1
    assert isinstance(asked.error, spry.StorageUnavailable)
    assert "not known" in str(asked.error)
    assert "idempotency_key" in str(asked.error)


def test_a_database_that_stays_away_after_an_append_leaves_it_in_doubt() -> None:
    gone = Unavailable(spry.StorageUnavailable("no answer"), nothing_stored=True)

    asked = handle([CreatePlayer("Ada")], [nobody(), LOST, *[gone] * (RECONNECTS + 1)])

    assert isinstance(asked.error, spry.StorageUnavailable)
    assert "whether it was is not known" in str(asked.error)
    assert asked.error.__cause__ is gone.error


@pytest.mark.parametrize("attempts", [1, 2])
def test_the_last_attempt_ends_in_what_broke_it(attempts: int) -> None:
    busy = Unavailable(spry.StorageUnavailable("it is locked"), nothing_stored=True)

    asked = handle([CreatePlayer("Ada")], [nobody(), busy] * attempts, attempts=attempts)

    assert asked.error is busy.error


def test_a_read_is_repeated_when_the_connection_breaks_and_no_more_than_a_few_times() -> None:
    back = handle([Hit("Ada", 1)], [LOST, LOST, nobody()])
    gone = handle([Hit("Ada", 1)], [LOST] * (RECONNECTS + 1))

    assert back.kinds == [Load, Pause, Load, Pause, Load]
    assert not back.result[0].ok
    assert gone.kinds == [Load, Pause] * RECONNECTS + [Load]
    assert gone.error is LOST.error


def test_a_bug_in_a_decision_ends_it_after_the_load() -> None:
    asked = handle([player.Stumble("Ada")], [nobody()])

    assert asked.kinds == [Load]
    assert isinstance(asked.error, ZeroDivisionError)


def test_a_key_that_was_used_is_answered_from_what_was_stored_then() -> None:
    Toast.decided.clear()
    created = handle([CreatePlayer("Ada")], [nobody(), Appended()]).appends[0].events
    first = handle([Toast("Ada")], [someone(created), Appended()], keys=["k"]).appends[0]
    rows = [*created, *first.events]
    command = first.commands[0]

    asked = handle(
        [Toast("Ada")],
        [
            Loading([loaded(rows)], {"k": command.id}),
            [command],
            HistoryPage(rows, False),
        ],
        keys=["k"],
    )

    assert asked.kinds == [Load, ReadCommands, ReadHistory]
    assert asked.operations[0].keys == ("k",)
    assert len(Toast.decided) == 1
    assert (asked.result[0].original.hit_points, asked.result[0].modified.hit_points) == (100, 99)


def test_identifiers_that_change_are_resolved_before_they_are_mapped() -> None:
    created = handle([CreatePlayer("Ada")], [nobody(), Appended()]).appends[0].events

    free = handle([Rename("Ada", "Eve")], [someone(created), NOBODY, Appended()])
    taken = handle([Rename("Ada", "Eve")], [someone(created), Owner("f" * 32, True, "0" * 32)])

    assert free.kinds == [Load, Resolve, Append]
    assert len(free.appends[0].mappings) == 1
    assert taken.kinds == [Load, Resolve]
    assert isinstance(taken.result[0].errors[0], spry.IdentifiersTaken)


def test_a_snapshot_goes_with_the_append_when_it_is_due() -> None:
    created = handle([CreatePlayer("Ada")], [nobody(), Appended()]).appends[0].events
    blows = player.Beat("Ada", (1,) * 9)

    asked = handle([blows], [someone(created), Appended()])

    (snapshot,) = asked.appends[0].snapshots
    assert (snapshot.version, snapshot.vector) == (10, '{"main":10}')
    assert snapshot.last_event == asked.appends[0].events[-1].id
    assert snapshot.last_command == asked.appends[0].commands[0].id


def test_fetching_is_one_load() -> None:
    created = handle([CreatePlayer("Ada")], [nobody(), Appended()]).appends[0].events

    asked = answered(fetch(context(), {"name": "Ada"}), [someone(created)])

    assert asked.kinds == [Load]
    assert asked.result.state == Player("Ada", 100)


def test_a_long_stream_is_read_page_after_page_from_where_the_last_one_ended() -> None:
    created = handle([CreatePlayer("Ada")], [nobody(), Appended()]).appends[0].events
    hits = handle([player.Beat("Ada", (1, 2, 3))], [someone(created), Appended()]).appends[0].events

    asked = answered(
        fetch(context(), {"name": "Ada"}),
        [
            someone(created, more=True),
            EventPage([stored_event(each) for each in hits[:2]], True),
            EventPage([stored_event(each) for each in hits[2:]], False),
        ],
    )

    assert asked.kinds == [Load, ReadEvents, ReadEvents]
    assert [each.after for each in asked.operations[1:]] == [{"main": 1}, {"main": 3}]
    assert asked.result.state.wounds == [1, 2, 3]


def test_a_snapshot_that_cannot_be_read_is_loaded_without() -> None:
    created = handle([CreatePlayer("Ada")], [nobody(), Appended()]).appends[0].events
    broken = StoredSnapshot("0" * 32, "[]", '{"main":1}', 1, created[0].id)

    asked = answered(
        fetch(context(), {"name": "Ada"}),
        [Loading([Loaded(NOBODY, broken, [], False)], {}), someone(created)],
    )

    assert [each.fingerprint is None for each in asked.operations] == [False, True]
    assert asked.result.state == Player("Ada", 100)


def test_a_storage_that_does_not_keep_the_order_of_ids_is_an_error_and_no_endless_loop() -> None:
    created = handle([CreatePlayer("Ada")], [nobody(), Appended()]).appends[0].events
    hit = handle([Hit("Ada", 1)], [someone(created), Appended()]).appends[0].events
    late = [msgspec.structs.replace(hit[0], id=created[0].id)]
    wrong = someone([*created, *late])

    fetched = answered(fetch(context(), {"name": "Ada"}), [wrong] * RESTARTS)
    handled = handle([Hit("Ada", 1)], [wrong] * RESTARTS)

    for asked in (fetched, handled):
        assert type(asked.error) is spry.StorageError
        assert "Player out of the order of their ids" in str(asked.error)


def test_history_emits_as_it_reads() -> None:
    append = handle([CreatePlayer("Ada")], [nobody(), Appended()]).appends[0]

    asked = answered(
        history(context(), {"name": "Ada"}),
        [NOBODY, HistoryPage(list(append.events), False), list(append.commands), None],
    )

    assert asked.kinds == [Resolve, ReadHistory, ReadCommands, Emit]
    assert asked.operations[-1].items[0].command == CreatePlayer("Ada")


def test_actors_are_emitted_page_by_page_until_there_are_none() -> None:
    page = ActorPage([("1" * 32, '{"name":"Ada"}'), ("2" * 32, '{"name":"Bob"}')], "3" * 32)

    asked = answered(actors(context()), [page, None, ActorPage([], "3" * 32)])

    assert asked.kinds == [ReadActors, Emit, ReadActors]
    assert asked.operations[1].items == [{"name": "Ada"}, {"name": "Bob"}]
    assert asked.operations[0].until is None
    assert (asked.operations[2].after, asked.operations[2].until) == ("2" * 32, "3" * 32)


# Running by hand --------------------------------------------------------------------------------

DOMAIN = spry.Domain(*player.TYPES, Toast)


def context(attempts: int = 50, clock: Clock | None = None, remembers: int = 0) -> Context[Player]:
    kind: ActorKind[Player] = DOMAIN.actor(Player)
    cache: Cache[Player] = Cache(remembers)
    return Context(DOMAIN, kind, "main", clock or Clock(), attempts, 60.0, cache)


def work_of(
    commands: Sequence[Any],
    keys: Sequence[str] | None = None,
    attempts: int = 50,
    clock: Clock | None = None,
    by: Context[Player] | None = None,
) -> Any:
    of_player = by or context(attempts, clock)
    by_command: Sequence[str | None] = keys or [None] * len(commands)
    envelopes = [
        seal(of_player, command, key) for command, key in zip(commands, by_command, strict=True)
    ]
    return handle_many(of_player, envelopes)


def handle(commands: Sequence[Any], answers: Sequence[Any], **options: Any) -> Asked:
    return answered(work_of(commands, **options), answers)


def answered(work: Any, answers: Sequence[Any], before: Asked | None = None) -> Asked:
    """Run on with these answers; pauses need none. What is asked must be what is answered."""
    asked = before or Asked()
    rest = list(answers)
    try:
        if before is None:
            asked.operations.append(next(work))
        while True:
            if isinstance(asked.operations[-1], Pause):
                asked.operations.append(work.send(None))
            elif rest:
                asked.operations.append(work.send(rest.pop(0)))
            else:
                return asked
    except StopIteration as done:
        asked.result = done.value
    except Exception as error:  # noqa: BLE001  (the tests look at it)
        asked.error = error
    assert not rest, "more answers than questions"
    return asked


def stored_event(row: EventRecord) -> StoredEvent:
    return StoredEvent(
        row.id, row.origin, row.sequence, row.seen, row.type, row.type_version, row.content
    )


def loaded(rows: Sequence[EventRecord] = (), *, more: bool = False) -> Loaded:
    owner = Owner(rows[0].actor_id, True, None) if rows else NOBODY
    return Loaded(owner, None, [stored_event(row) for row in rows], more)


def nobody() -> Loading:
    return Loading([loaded()], {})


def someone(rows: Sequence[EventRecord], *, more: bool = False) -> Loading:
    return Loading([loaded(rows, more=more)], {})


def test_an_append_in_doubt_at_the_last_attempt_is_told_so() -> None:
    asked = handle([CreatePlayer("Ada")], [nobody(), LOST], attempts=1)

    assert isinstance(asked.error, spry.StorageUnavailable)
    assert "whether it was is not known" in str(asked.error)


def test_an_append_in_doubt_stays_so_where_others_are_first_afterwards() -> None:
    """The other may be the append itself, which has come late."""
    asked = handle([CreatePlayer("Ada")], [nobody(), LOST, nobody(), [], Conflict()], attempts=2)

    assert isinstance(asked.error, spry.StorageUnavailable)
    assert "whether it was is not known" in str(asked.error)


def test_a_repeated_key_finds_all_of_its_events_wherever_a_page_ends() -> None:
    created = handle([CreatePlayer("Ada")], [nobody(), Appended()]).appends[0].events
    beat = [player.Beat("Ada", (1, 2))]
    first = handle(beat, [someone(created), Appended()], keys=["k"]).appends[0]
    (command,), (one, two) = first.commands, first.events
    pages = [HistoryPage([*created], True), HistoryPage([one], True), HistoryPage([two], False)]
    there = Loading([loaded([*created, *first.events])], {"k": command.id})

    asked = handle(beat, [there, [command], *pages], keys=["k"])

    assert asked.result[0].events == [PlayerHit(1), PlayerHit(2)]
    assert asked.result[0].modified == Player("Ada", 97, [1, 2])
