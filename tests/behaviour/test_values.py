"""What cannot be kept is refused, and nothing is stored."""

from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

import pytest

import spry_sqla as spry
from tests.backends import Backend
from tests.domains import player
from tests.domains.player import CreatePlayer, Player

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


@dataclass
class Few:
    """Its rule holds when it is made, and nobody keeps it later."""

    number: int

    def __post_init__(self) -> None:
        if self.number > 3:
            raise ValueError


@dataclass(frozen=True)
class Bought(spry.Event):
    few: Few

    def apply(self, actor: object) -> None: ...


@dataclass(frozen=True)
class Buy(player.OfPlayer):
    few: Few

    def handle(self, actor: object) -> spry.Decision:
        return player.PlayerHit(1)


@dataclass(frozen=True)
class Order(player.OfPlayer):
    number: int

    def handle(self, actor: object) -> spry.Decision:
        return Bought(too_many(self.number))


def too_many(number: int) -> Few:
    few = Few(1)
    few.number = number
    return few


@cache
def shop() -> spry.Domain:
    return spry.Domain(*player.TYPES, Buy, Order, Bought)


@pytest.mark.parametrize(
    ("command", "where"), [(Buy("Ada", too_many(4)), "Buy.few"), (Order("Ada", 4), "Bought.few")]
)
def test_what_could_never_be_read_again_is_refused_and_nothing_is_stored(
    backend: Backend, command: Any, where: str
) -> None:
    store = backend.start(shop())
    players = store.repository(Player)
    players.handle(CreatePlayer("Ada"))

    with pytest.raises(spry.UnusableValue, match=rf"{where}.*never be read") as caught:
        players.handle(command)

    assert "4" not in str(caught.value)
    assert backend.count(store.domain.actor(Player), "commands") == 1
    assert [entry.version for entry in players.history(name="Ada")] == [1]
    assert players.handle(Buy("Ada", too_many(3))).ok


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
