"""What cannot be kept is refused, and nothing is stored."""

from decimal import Decimal
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
