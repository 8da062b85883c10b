"""The forms that a decision can take, and those that are mistakes."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pydantic
import pytest

import spry_sqla as spry
from tests.backends import Backend, let_first
from tests.domains import player
from tests.domains.player import CreatePlayer, Hit, Player, PlayerHit, Stumble
from tests.rows import rival_of

DECISIONS: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "an event": lambda: PlayerHit(1),
    "an error": lambda: spry.Rejected("no"),
    "an error of the application's own": lambda: LookupError("no"),
    "a list": lambda: [PlayerHit(1), PlayerHit(2)],
    "a tuple": lambda: (PlayerHit(1),),
    "an empty list": list,
    "a generator": lambda: (PlayerHit(points) for points in (1, 2, 3)),
    "an empty generator": lambda: iter(()),
    "a generator that returns an event": lambda: returning([PlayerHit(1)], PlayerHit(2)),
    "a generator that returns events": lambda: returning([], [PlayerHit(1), PlayerHit(2)]),
    "a generator that returns an error": lambda: returning([], spry.Rejected("a")),
    "a generator that returns an error after events": lambda: returning(
        [PlayerHit(1)], spry.Rejected("a")
    ),
    "a generator that returns a number": lambda: returning([PlayerHit(1)], 42),
    "errors among events": lambda: [PlayerHit(1), spry.Rejected("a"), PlayerHit(2), OSError("b")],
    "an exception class": lambda: spry.Rejected,
    "a list with an exception class": lambda: [PlayerHit(1), spry.Rejected],
    "an event class": lambda: PlayerHit,
    "a text": lambda: "no",
    "a number": lambda: 42,
    "None among events": lambda: [PlayerHit(1), None],
    "a dict": lambda: {"points": 1},
    "an unregistered event": lambda: Unregistered(),  # noqa: PLW0108  (it is defined below)
    "unregistered events": lambda: [PlayerHit(1), Unregistered()],
}


def returning(yielded: list[Any], returned: Any) -> Generator[Any, None, Any]:
    yield from yielded
    return returned


@dataclass(frozen=True)
class Decide(player.OfPlayer):
    what: str

    def handle(self, actor: object) -> Any:
        return DECISIONS[self.what]()


@dataclass(frozen=True)
class Unregistered(spry.Event):
    def apply(self, actor: object) -> None: ...


@cache
def domain() -> spry.Domain:
    return spry.Domain(*player.TYPES, Decide)


@pytest.mark.parametrize(
    ("decision", "hits"),
    [
        *[("None", []), ("an empty list", []), ("an empty generator", [])],
        *[("an event", [1]), ("a list", [1, 2]), ("a tuple", [1]), ("a generator", [1, 2, 3])],
        ("a generator that returns an event", [1, 2]),
        ("a generator that returns events", [1, 2]),
    ],
)
def test_a_decision_is_any_number_of_events_in_any_form(
    backend: Backend, decision: str, hits: list[int]
) -> None:
    players = backend.start(domain()).repository(Player)
    players.handle(CreatePlayer("Ada"))

    results = players.handle(Decide("Ada", decision))

    assert results.ok
    assert results.events == [PlayerHit(points) for points in hits]
    assert players.fetch(name="Ada").wounds == hits


@pytest.mark.parametrize(
    ("decision", "errors"),
    [
        ("an error", [spry.Rejected]),
        ("an error of the application's own", [LookupError]),
        ("errors among events", [spry.Rejected, OSError]),
        ("a generator that returns an error", [spry.Rejected]),
        ("a generator that returns an error after events", [spry.Rejected]),
    ],
)
def test_any_error_in_a_decision_means_that_nothing_is_stored(
    backend: Backend, decision: str, errors: list[type[Exception]]
) -> None:
    store = backend.start(domain())
    players = store.repository(Player)
    players.handle(CreatePlayer("Ada"))

    results = players.handle(Decide("Ada", decision))

    assert [type(error) for error in results.errors] == errors
    assert results.events == []
    assert players.fetch(name="Ada") == results.modified == Player("Ada", 100)
    assert backend.count(store.domain.actor(Player), "commands") == 1


@pytest.mark.parametrize(
    ("decision", "error", "hint"),
    [
        ("an exception class", spry.DefinitionError, "instances"),
        ("a list with an exception class", spry.DefinitionError, "instances"),
        ("an event class", spry.DefinitionError, "instances"),
        ("a text", spry.DefinitionError, "str"),
        ("a number", spry.DefinitionError, "int"),
        ("a dict", spry.DefinitionError, "dict"),
        ("a generator that returns a number", spry.DefinitionError, "int"),
        ("None among events", spry.DefinitionError, "NoneType"),
        ("an unregistered event", spry.NotRegistered, "Unregistered"),
        ("unregistered events", spry.NotRegistered, "Unregistered"),
    ],
)
def test_what_is_no_decision_is_a_mistake_that_stores_nothing(
    backend: Backend, decision: str, error: type[Exception], hint: str
) -> None:
    players = backend.start(domain()).repository(Player)
    players.handle(CreatePlayer("Ada"))

    with pytest.raises(error, match=hint) as caught:
        players.handle(Decide("Ada", decision))

    assert "Decide" in str(caught.value)
    assert players.fetch(name="Ada") == Player("Ada", 100)


def test_an_exception_that_is_raised_propagates_and_nothing_is_stored(backend: Backend) -> None:
    store = backend.start(domain())
    players = store.repository(Player)
    players.handle(CreatePlayer("Ada"))

    with pytest.raises(ZeroDivisionError, match="a bug of the application"):
        players.handle(Stumble("Ada"))

    assert players.fetch(name="Ada") == Player("Ada", 100)
    assert players.handle(Hit("Ada", 1)).modified == Player("Ada", 99, [1])
    assert backend.count(store.domain.actor(Player), "commands") == 2


@dataclass(frozen=True)
class Explode(spry.Event):
    def apply(self, actor: object) -> None:
        raise FloatingPointError("a bug in apply")


@dataclass(frozen=True)
class Ignite(player.OfPlayer):
    def handle(self, actor: object) -> spry.Decision:
        yield PlayerHit(1)
        yield Explode()


def test_an_exception_in_apply_propagates_and_nothing_is_stored(backend: Backend) -> None:
    store = backend.start(spry.Domain(*player.TYPES, Explode, Ignite))
    players = store.repository(Player)
    players.handle(CreatePlayer("Ada"))

    with pytest.raises(FloatingPointError, match="a bug in apply"):
        players.handle(Ignite("Ada"))

    assert players.fetch(name="Ada") == Player("Ada", 100)
    assert backend.count(store.domain.actor(Player), "events") == 1


def test_a_decision_is_made_anew_when_another_writer_was_first(backend: Backend) -> None:
    store = backend.start(domain())
    players = store.repository(Player)
    players.handle(CreatePlayer("Ada"))
    rivals: list[Any] = []

    def one_hit(append: Any) -> Any:
        if rivals:
            return None
        rivals.append(append)
        return rival_of(append)

    let_first(store, one_hit)
    results = players.handle(Hit("Ada", 30))

    assert results.original == Player("Ada", 70, [30])
    assert results.modified == Player("Ada", 40, [30, 30])
    assert [entry.version for entry in players.history(name="Ada")] == [1, 2, 3]


@dataclass
class Bag(spry.Actor):
    name: str = ""
    items: list[int] = field(default_factory=list)

    def identifiers(self) -> spry.Identifiers:
        return {"name": self.name}


@dataclass(frozen=True)
class Pack(spry.Command):
    name: str
    items: list[int]

    def identifiers(self) -> spry.Identifiers:
        return {"name": self.name}

    def handle(self, actor: object) -> spry.Decision:
        return [Packed(self.name, self.items), Added(3)]


@dataclass(frozen=True)
class Packed(spry.Event):
    name: str
    items: list[int]

    def apply(self, actor: Bag) -> None:
        actor.name, actor.items = self.name, self.items


@dataclass(frozen=True)
class Added(spry.Event):
    item: int

    def apply(self, actor: Bag) -> None:
        actor.items.append(self.item)


def test_a_state_that_takes_a_part_of_an_event_over_leaves_the_event_as_it_was(
    backend: Backend,
) -> None:
    bags = backend.start(spry.Domain(Bag, Pack, Packed, Added)).repository(Bag)
    command = Pack("a", [1, 2])

    result = bags.handle(command)

    assert result.events == [Packed("a", [1, 2]), Added(3)]
    assert command == Pack("a", [1, 2])
    assert result.modified == bags.fetch(name="a") == Bag("a", [1, 2, 3])
    assert [entry.event for entry in bags.history(name="a")] == result.events


class Bruised(pydantic.BaseModel):
    """Can be iterated over, as each model of pydantic can."""

    points: int

    def apply(self, actor: Any) -> None:
        if isinstance(actor, Player):
            actor.wounds.append(self.points)


@dataclass(frozen=True)
class Bruise(player.OfPlayer):
    def handle(self, actor: object) -> Any:
        return Bruised(points=3)


class Better(Player):
    """Another class than that of the actor."""


@dataclass(frozen=True)
class Bettered(spry.Event):
    def apply(self, actor: Player) -> Player:
        return Better(actor.name, actor.hit_points, actor.wounds)


@dataclass(frozen=True)
class MakeBetter(player.OfPlayer):
    def handle(self, actor: object) -> spry.Decision:
        return Bettered()


def test_one_event_is_one_even_where_it_can_be_iterated_over(backend: Backend) -> None:
    players = backend.start(spry.Domain(*player.TYPES, Bruise, Bruised)).repository(Player)
    players.handle(CreatePlayer("Ada"))

    assert players.handle(Bruise("Ada")).unwrap().wounds == [3]


def test_a_state_never_becomes_one_of_another_class(backend: Backend) -> None:
    players = backend.start(spry.Domain(*player.TYPES, MakeBetter, Bettered)).repository(Player)
    players.handle(CreatePlayer("Ada"))

    with pytest.raises(spry.DefinitionError, match="returned Better for a Player"):
        players.handle(MakeBetter("Ada"))

    assert type(players.fetch(name="Ada")) is Player
