"""What goes in comes out, equal in value and type: by event, command, metadata and snapshot."""

import dataclasses
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import spry_sqla as spry
from tests.backends import Backend
from tests.behaviour.examples import examples
from tests.codec.values import CLASSES, SCALARS, of, same, text
from tests.domains import player
from tests.domains.player import CreatePlayer, Player

_element = [(of(list, each), st.lists(values, max_size=3)) for each, values in SCALARS[:8]]
_keyed = [
    (of(dict, each, int), st.dictionaries(values, st.integers(), max_size=3))
    for each, values in SCALARS[:12]
    if each is not float
]
_mixed = [
    (tuple[int, ...], st.lists(st.integers()).map(tuple)),
    (set[str], st.sets(text)),
    (frozenset[Decimal], st.frozensets(st.decimals(allow_nan=False, allow_infinity=False))),
    (int | str | None, st.integers() | text | st.none()),
    (
        dict[tuple[int, str], list[bytes]],
        st.dictionaries(st.tuples(st.integers(), text), st.just([b"\0"]), max_size=3),
    ),
]
_fields = [*SCALARS, *CLASSES, *_element, *_keyed, *_mixed]
FIELDS: dict[str, Any] = {f"field_{place}": each for place, each in enumerate(_fields)}
Thing: Any = dataclasses.make_dataclass(
    "Thing", [(name, annotation) for name, (annotation, _) in FIELDS.items()], frozen=True
)
things = st.builds(Thing, **{name: values for name, (_, values) in FIELDS.items()})


@dataclasses.dataclass
class Shelf(spry.Actor):
    meta = spry.ActorMeta(snapshot_frequency=1)
    place: int = 0
    things: list[Thing] = dataclasses.field(default_factory=list)

    def identifiers(self) -> spry.Identifiers:
        return {"place": self.place}


@dataclasses.dataclass(frozen=True)
class Put(spry.Command):
    place: int
    thing: Thing

    def identifiers(self) -> spry.Identifiers:
        return {"place": self.place}

    def handle(self, actor: object) -> spry.Decision:
        yield ThingPut(self.place, self.thing)


@dataclasses.dataclass(frozen=True)
class ThingPut(spry.Event):
    place: int
    thing: Thing

    def apply(self, actor: object) -> None:
        assert isinstance(actor, Shelf)
        actor.place = self.place
        actor.things.append(self.thing)


DOMAIN = spry.Domain(Shelf, Put, ThingPut)


@examples(15)
@given(thing=things, place=st.integers())
def test_every_value_comes_back_the_same_by_every_way(
    backend: Backend, thing: Any, place: int
) -> None:
    store = backend.start(DOMAIN)
    shelves = store.repository(Shelf)
    metadata = {name: getattr(thing, name) for name in FIELDS}

    results = shelves.handle(Put(place, thing), idempotency_key="k", metadata=metadata)

    (entry,) = shelves.history(place=place)
    assert same(entry.event.thing, thing)
    assert same(entry.command.thing, thing)
    for name, value in metadata.items():
        assert same(entry.metadata[name], value), name
    assert same(results.modified.things, [thing])
    assert backend.count(store.domain.actor(Shelf), "snapshots") == 1
    assert same(shelves.fetch(place=place).things, [thing])
    assert same(shelves.handle(Put(place, thing), idempotency_key="k").events[0].thing, thing)


UNUSABLE = [
    *(Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal("-Infinity")),
]


@pytest.mark.parametrize("weight", UNUSABLE, ids=str)
def test_what_cannot_be_kept_in_a_command_is_refused_and_nothing_is_stored(
    backend: Backend, weight: Decimal
) -> None:
    store = backend.start(player.domain())
    players = store.repository(Player)

    with pytest.raises(spry.UnusableValue, match=r"Weigh\.weight") as caught:
        players.handle(player.Weigh("Ada", weight))
    with pytest.raises(spry.UnusableValue):
        players.handle_many([CreatePlayer("Ada"), player.Weigh("Ada", weight)])

    assert "Decimal" in str(caught.value)
    assert backend.count(store.domain.actor(Player), "commands") == 0


@pytest.mark.parametrize(
    "metadata",
    [
        *({"a": float("nan")}, {"a": float("inf")}, {"a": object()}, {"a": "\ud800"}, {"a": 1j}),
        *({1: "a"}, {"a": {"b": [Decimal("NaN")]}}, [("a", 1)], "a", {"\ud800": 1}, {"a": print}),
    ],
)
def test_what_cannot_be_kept_in_metadata_is_refused_and_nothing_is_stored(
    backend: Backend, metadata: Any
) -> None:
    players = backend.start(player.domain()).repository(Player)

    with pytest.raises(spry.UnusableValue):
        players.handle(CreatePlayer("Ada"), metadata=metadata)

    assert not players.exists(name="Ada")


@pytest.mark.parametrize(
    "name",
    [
        *("'", '"', "%", "%s", "%(name)s", ":name", "\\", "\\'", "$1", "?", "{}", "\0", "\n", "🎲"),
        *("'; DROP TABLE player_events; --", "\u202e", "\ufeff", "e\u0301", "a" * 10_000, "\x7f"),
    ],
    ids=ascii,
)
def test_text_is_only_text(backend: Backend, name: str) -> None:
    players = backend.start(player.domain()).repository(Player)

    players.handle(CreatePlayer(name), idempotency_key="k%s:1'", metadata={name: name})

    assert players.fetch(name=name) == Player(name, 100)
    (entry,) = players.history(name=name)
    assert entry.command == CreatePlayer(name)
    assert entry.metadata == {name: name}
