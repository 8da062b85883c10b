"""Types that changed since they were stored: renamed, of another version, gone."""

import pytest

import spry_sqla as spry
from tests.backends import Backend
from tests.domains import notes_v1, notes_v2, notes_v3, player
from tests.domains.player import CreatePlayer, Hit, Player, PlayerHit
from tests.rows import put_event


def test_events_of_every_earlier_version_are_brought_up_to_date(backend: Backend) -> None:
    first = backend.start(notes_v1.domain()).repository(notes_v1.Notebook)
    first.handle(notes_v1.Jot("log", "one\ntwo"))
    second = backend.open(notes_v2.domain()).repository(notes_v2.Notebook)
    second.handle(notes_v2.Jot("log", "three"))
    assert second.fetch(title="log").lines == ["one", "two", "three"]
    third = backend.open(notes_v3.domain()).repository(notes_v3.Journal)

    third.handle(notes_v3.Write("log", "four", "ada"))

    assert third.fetch(title="log").lines == [
        *(("one", "unknown"), ("two", "unknown"), ("three", "unknown"), ("four", "ada"))
    ]


def test_renamed_types_are_found_by_their_earlier_names(backend: Backend) -> None:
    first = backend.start(notes_v1.domain()).repository(notes_v1.Notebook)
    first.handle(notes_v1.Jot("log", "one"))

    today = backend.open(notes_v3.domain()).repository(notes_v3.Journal)

    (entry,) = today.history(title="log")
    assert entry.event == notes_v3.Written("log", ["one"], "unknown")
    assert entry.command == notes_v3.Write("log", "one", "unknown")
    assert list(today.actors()) == [{"title": "log"}]


def test_the_first_outcome_of_a_key_is_told_in_the_newest_shape(backend: Backend) -> None:
    first = backend.start(notes_v1.domain()).repository(notes_v1.Notebook)
    first.handle(notes_v1.Jot("log", "one"), idempotency_key="k")

    today = backend.open(notes_v3.domain()).repository(notes_v3.Journal)
    results = today.handle(notes_v3.Write("log", "one", "unknown"), idempotency_key="k")

    assert results.events == [notes_v3.Written("log", ["one"], "unknown")]
    with pytest.raises(spry.KeyReused):
        today.handle(notes_v3.Write("log", "one", "ada"), idempotency_key="k")


def test_a_snapshot_of_an_earlier_shape_is_passed_over(backend: Backend) -> None:
    first = backend.start(notes_v1.domain()).repository(notes_v1.Notebook)
    for text in ("one", "two", "three", "four"):
        first.handle(notes_v1.Jot("log", text))

    second = backend.open(notes_v2.domain()).repository(notes_v2.Notebook)

    assert second.fetch(title="log").lines == ["one", "two", "three", "four"]


def test_an_event_newer_than_the_code_is_an_error_that_says_so(backend: Backend) -> None:
    second = backend.start(notes_v2.domain()).repository(notes_v2.Notebook)
    second.handle(notes_v2.Jot("log", "one"))

    first = backend.open(notes_v1.domain()).repository(notes_v1.Notebook)

    for read in (lambda: first.fetch(title="log"), lambda: list(first.history(title="log"))):
        with pytest.raises(spry.UnreadableContent, match=r"Jotted.*newer") as caught:
            read()
        assert "notebook_events" in str(caught.value)


def test_an_older_event_without_an_upcast_is_an_error_that_says_so(backend: Backend) -> None:
    from spry_sqla import stored as marked

    first = backend.start(notes_v1.domain()).repository(notes_v1.Notebook)
    first.handle(notes_v1.Jot("log", "one"))

    class Jotted(notes_v1.Jotted):
        """Its version was raised, and its upcast forgotten."""

    marked(version=2)(Jotted)
    domain = spry.Domain(notes_v1.Notebook, notes_v1.Jot, Jotted)
    notes = backend.open(domain).repository(notes_v1.Notebook)

    with pytest.raises(spry.UnreadableContent, match="upcast"):
        notes.fetch(title="log")


def test_an_unknown_type_in_a_stream_is_an_error_that_names_it_and_the_table(
    backend: Backend,
) -> None:
    store = backend.start(player.domain())
    players = store.repository(Player)
    players.handle_many([CreatePlayer("Ada"), CreatePlayer("Bob")])
    put_event(
        store, Player, PlayerHit(1), origin="main", sequence=2, type_name="PlayerHealed", name="Ada"
    )

    for use in (
        lambda: players.fetch(name="Ada"),
        lambda: players.exists(name="Ada"),
        lambda: players.handle(Hit("Ada", 1)),
        lambda: list(players.history(name="Ada")),
    ):
        with pytest.raises(spry.UnknownType, match="PlayerHealed") as caught:
            use()
        assert "player_events" in str(caught.value)
        assert "aliases" in str(caught.value)
    assert players.fetch(name="Ada", version=1) == Player("Ada", 100)
    assert players.fetch(name="Bob") == Player("Bob", 100)


def test_an_unknown_command_spoils_the_history_and_not_the_state(backend: Backend) -> None:
    first = backend.start(notes_v1.domain()).repository(notes_v1.Notebook)
    first.handle(notes_v1.Jot("log", "one"))

    domain = spry.Domain(notes_v1.Notebook, notes_v1.Jotted)
    notes = backend.open(domain).repository(notes_v1.Notebook)

    assert notes.fetch(title="log").notes == ["one"]
    with pytest.raises(spry.UnknownType, match="Jot"):
        list(notes.history(title="log"))


@pytest.mark.parametrize("content", ["{}", "[]", "null", '{"points":"ten"}', '{"points":null}'])
def test_content_that_does_not_fit_its_class_is_an_error_that_names_it(
    backend: Backend, content: str
) -> None:
    store = backend.start(player.domain())
    players = store.repository(Player)
    players.handle(CreatePlayer("Ada"))
    put_event(store, Player, PlayerHit(1), origin="main", sequence=2, content=content, name="Ada")

    for use in (
        lambda: players.fetch(name="Ada"),
        lambda: players.handle(Hit("Ada", 1)),
        lambda: list(players.history(name="Ada")),
    ):
        with pytest.raises(spry.UnreadableContent, match="PlayerHit"):
            use()
