"""The same key and command run once and answer the same; another command is refused."""

from dataclasses import dataclass, field, replace
from enum import IntEnum

import msgspec
import pytest

import spry_sqla as spry
from spry_sqla.adapters import target_of
from spry_sqla.clock import process_clock
from spry_sqla.operations import Append, Load
from tests.backends import Backend, let_first
from tests.domains import player
from tests.domains.player import (
    Beat,
    CreatePlayer,
    Curse,
    Hit,
    Player,
    PlayerCreated,
    PlayerHit,
    Rename,
)
from tests.rows import anew, put_event


def test_the_same_key_and_command_run_once_and_answer_the_same(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)
    players.handle(CreatePlayer("Ada"))
    first = players.handle(Beat("Ada", (1, 2)), idempotency_key="k")
    players.handle(Hit("Ada", 3))

    again = players.handle(Beat("Ada", (1, 2)), idempotency_key="k")

    assert again == first
    assert again.original == Player("Ada", 100)
    assert again.modified == Player("Ada", 97, [1, 2])
    assert players.fetch(name="Ada").wounds == [1, 2, 3]


@pytest.mark.parametrize("revision", [0, 1])
def test_it_does_so_after_a_restart_and_with_newer_code(backend: Backend, revision: int) -> None:
    meta = spry.ActorMeta(snapshot_frequency=1)
    players = backend.start(player.domain(meta)).repository(Player)
    players.handle(CreatePlayer("Ada"))
    first = players.handle(Hit("Ada", 1), idempotency_key="k")
    players.handle(Hit("Ada", 2))

    other = spry.ActorMeta(snapshot_frequency=1, revision=revision)
    players = backend.open(player.domain(other)).repository(Player)

    assert players.handle(Hit("Ada", 1), idempotency_key="k") == first
    assert players.fetch(name="Ada").wounds == [1, 2]


def test_it_does_so_after_the_actor_was_renamed(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)
    players.handle(CreatePlayer("Ada"))
    first = players.handle(Rename("Ada", "Eve"), idempotency_key="k")

    assert players.handle(Rename("Ada", "Eve"), idempotency_key="k") == first


@pytest.mark.parametrize("other", [Hit("Ada", 2), Hit("Bob", 1), Beat("Ada", (1,))])
def test_the_same_key_with_another_command_is_an_error(
    backend: Backend, other: spry.Command
) -> None:
    store = backend.start(player.domain())
    players = store.repository(Player)
    players.handle_many([CreatePlayer("Ada"), CreatePlayer("Bob")])
    players.handle(Hit("Ada", 1), idempotency_key="k")

    with pytest.raises(spry.KeyReused):
        players.handle(other, idempotency_key="k")

    assert players.fetch(name="Ada").wounds == [1]
    assert players.fetch(name="Bob").wounds == []
    assert backend.count(store.domain.actor(Player), "commands") == 3


def test_other_metadata_is_no_other_command(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)
    first = players.handle(CreatePlayer("Ada"), idempotency_key="k", metadata={"try": 1})

    again = players.handle(CreatePlayer("Ada"), idempotency_key="k", metadata={"try": 2})

    assert again == first
    assert [entry.metadata for entry in players.history(name="Ada")] == [{"try": 1}]


def test_a_key_whose_command_was_refused_is_still_free(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)

    refused = players.handle(Hit("Ada", 1), idempotency_key="k")
    players.handle(CreatePlayer("Ada"))
    handled = players.handle(Hit("Ada", 1), idempotency_key="k")

    assert not refused.ok
    assert handled.events == [PlayerHit(1)]


def test_a_key_is_unique_within_a_batch(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)

    results = players.handle_many(
        [CreatePlayer("Ada"), Hit("Ada", 1), Hit("Ada", 1)], idempotency_keys=["a", "b", "b"]
    )

    assert results[1] == results[2]
    assert players.fetch(name="Ada").wounds == [1]


def test_a_key_reused_within_a_batch_stores_nothing_of_it(backend: Backend) -> None:
    store = backend.start(player.domain())
    players = store.repository(Player)

    with pytest.raises(spry.KeyReused):
        players.handle_many(
            [CreatePlayer("Ada"), Hit("Ada", 1), Hit("Ada", 2)], idempotency_keys=[None, "k", "k"]
        )

    assert backend.count(store.domain.actor(Player), "commands") == 0


def test_a_batch_may_mix_what_was_handled_before_and_what_is_new(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)
    players.handle(CreatePlayer("Ada"))
    first = players.handle(Hit("Ada", 1), idempotency_key="a")

    results = players.handle_many(
        [Hit("Ada", 1), Hit("Ada", 2), Hit("Ada", 0)], idempotency_keys=["a", "b", "c"]
    )

    assert results[0] == first
    assert results[1].original.wounds == [1]
    assert players.fetch(name="Ada").wounds == [1, 2]


def test_what_is_done_to_the_first_outcome_does_not_reach_the_second(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)
    players.handle(CreatePlayer("Ada"))
    commands = [Curse("Ada", deadly=True)] * 2

    first, second = players.handle_many(commands, idempotency_keys=["k", "k"])
    first.modified.wounds.append(99)
    first.events.clear()

    assert second.modified == Player("Ada", 0, [100])
    assert second.events == [PlayerHit(100)]


@pytest.mark.parametrize("key", ["k", " ", "a" * 255, "ключ", "🗝", "'; DROP TABLE", "%s:1\\"])
def test_a_key_is_any_text(backend: Backend, key: str) -> None:
    players = backend.start(player.domain()).repository(Player)

    first = players.handle(CreatePlayer("Ada"), idempotency_key=key)

    assert players.handle(CreatePlayer("Ada"), idempotency_key=key) == first


@pytest.mark.parametrize("key", ["", "a" * 256, 1, b"k", "a\0b", "\ud800"], ids=ascii)
def test_what_is_no_short_text_that_can_be_kept_is_no_key(backend: Backend, key: str) -> None:
    players = backend.start(player.domain()).repository(Player)

    with pytest.raises(spry.UnusableValue, match="idempotency key"):
        players.handle(CreatePlayer("Ada"), idempotency_key=key)

    assert not players.exists(name="Ada")


def test_of_two_callers_at_once_the_later_one_gets_the_first_outcome(backend: Backend) -> None:
    store = backend.start(player.domain())
    players = store.repository(Player)
    players.handle(CreatePlayer("Ada"))
    first: list[Append] = []

    def the_same(append: Append) -> Append | None:
        if first:
            return None
        # The very same command of another process, under ids of its own.
        again = anew(append)
        first.append(again)
        return again

    let_first(store, the_same)
    results = players.handle(Hit("Ada", 30), idempotency_key="k")

    assert results.events == [PlayerHit(30)]
    assert results.modified == Player("Ada", 70, [30])
    assert players.fetch(name="Ada").wounds == [30]
    assert backend.count(store.domain.actor(Player), "commands") == 2


@dataclass(frozen=True)
class Plan(spry.Command):
    name: str
    hours: dict[str, int] = field(default_factory=dict)

    def identifiers(self) -> spry.Identifiers:
        return {"name": self.name}

    def handle(self, actor: object) -> spry.Decision:
        return [PlayerCreated(self.name), PlayerHit(sum(self.hours.values()))]


class Shift(IntEnum):
    DAY = 1
    NIGHT = 2


@dataclass(frozen=True)
class Roster(spry.Command):
    """A command whose mappings are kept as lists, for their keys are no texts."""

    name: str
    shifts: dict[Shift, dict[int, str]] = field(default_factory=dict)
    places: dict[tuple[int, int], float] = field(default_factory=dict)
    breaks: list[list[int]] = field(default_factory=list)

    def identifiers(self) -> spry.Identifiers:
        return {"name": self.name}

    def handle(self, actor: object) -> spry.Decision:
        return PlayerCreated(self.name)


@dataclass(frozen=True)
class LaterPlan(Plan):
    """The same command after a release that gave it a field with a default."""

    urgent: bool = False


def test_a_command_is_the_same_whatever_the_order_of_a_mapping(backend: Backend) -> None:
    domain = spry.Domain(Player, Plan, PlayerCreated, PlayerHit)
    players = backend.start(domain).repository(Player)
    first = players.handle(Plan("Ada", {"x": 1, "y": 2}), idempotency_key="k")

    assert players.handle(Plan("Ada", {"y": 2, "x": 1}), idempotency_key="k") == first
    batch = [Plan("Bob", {"x": 1, "y": 2}), Plan("Bob", {"y": 2, "x": 1})]
    together = players.handle_many(batch, idempotency_keys=["m", "m"])
    assert together[0] == together[1]
    with pytest.raises(spry.KeyReused):
        players.handle(Plan("Ada", {"y": 1, "x": 2}), idempotency_key="k")


def test_a_mapping_whose_keys_are_no_texts_is_the_same_in_another_order_and_a_list_is_not(
    backend: Backend,
) -> None:
    domain = spry.Domain(Player, Roster, PlayerCreated)
    players = backend.start(domain).repository(Player)
    day, night = {1: "Ada", 2: "Bob"}, {3: "Eve"}
    roster = Roster("Ada", {Shift.DAY: day, Shift.NIGHT: night}, {(0, 1): 1, (0, 2): 1}, [[1, 2]])
    first = players.handle(roster, idempotency_key="k")

    day = {2: "Bob", 1: "Ada"}
    again = Roster("Ada", {Shift.NIGHT: night, Shift.DAY: day}, {(0, 2): 1, (0, 1): 1}, [[1, 2]])
    assert players.handle(again, idempotency_key="k") == first

    for other in (replace(roster, breaks=[[2, 1]]), replace(roster, places={(1, 0): 1, (2, 0): 1})):
        with pytest.raises(spry.KeyReused):
            players.handle(other, idempotency_key="k")


def test_a_command_is_the_same_when_a_field_with_a_default_has_come_since(
    backend: Backend,
) -> None:
    players = backend.start(spry.Domain(Player, Plan, PlayerCreated, PlayerHit)).repository(Player)
    first = players.handle(Plan("Ada"), idempotency_key="k")

    newer = spry.Domain(Player, spry.stored(name="Plan")(LaterPlan), PlayerCreated, PlayerHit)
    players = backend.open(newer).repository(Player)

    assert players.handle(LaterPlan("Ada"), idempotency_key="k") == first
    with pytest.raises(spry.KeyReused):
        players.handle(LaterPlan("Ada", urgent=True), idempotency_key="k")


def test_keys_as_one_text_are_refused(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)

    with pytest.raises(spry.UnusableValue, match="one per command"):
        players.handle_many([CreatePlayer("A"), CreatePlayer("B")], idempotency_keys="kl")


def test_the_outcome_is_that_of_the_first_whatever_other_replicas_have_written_since(
    backend: Backend,
) -> None:
    store = backend.start(player.domain())
    players = store.repository(Player)
    players.handle(CreatePlayer("Ada"))
    first = players.handle(Hit("Ada", 1), idempotency_key="k")
    put_event(store, Player, PlayerHit(7), origin="east", sequence=1, name="Ada")

    assert players.handle(Hit("Ada", 1), idempotency_key="k") == first


def test_outcomes_of_one_key_in_a_batch_share_nothing(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)
    players.handle(CreatePlayer("Ada"))

    cursed = [Curse("Ada", deadly=True)] * 2
    first, second = players.handle_many(cursed, idempotency_keys=["k", "k"])
    first.original.wounds.append(99)

    assert second.original == Player("Ada", 100)


def test_of_one_key_in_two_origins_the_first_command_counts(backend: Backend) -> None:
    store = backend.start(player.domain())
    kind = store.domain.actor(Player)
    watched: list[object] = []
    at = store.observed(lambda operation, _: watched.append(operation))
    at.repository(Player).handle(CreatePlayer("Ada"), idempotency_key="other")
    (command,) = next(each for each in watched if isinstance(each, Append)).commands
    first, second = sorted(process_clock.next() for _ in range(2))
    for each, origin in ((second, "east"), (first, "west")):
        row = msgspec.structs.replace(command, id=each, origin=origin, idempotency_key="k")
        store.perform(Append(kind.name, commands=[row]))

    target = target_of(store.domain, Player, {"name": "Ada"})
    loading = store.perform(Load(kind.name, "main", (target,), None, keys=("k",)))

    assert loading.previous == {"k": first}
