"""What a storage remembers is never the reason for another answer than a load would give."""

import pytest

from spry_conformance.faces import Face
from spry_sqla.adapters import MappingRecord, target_of
from spry_sqla.clock import process_clock, timestamp_of
from spry_sqla.operations import Append, Read
from tests.backends import Backend
from tests.domains import player
from tests.domains.player import CreatePlayer, Hit, Player, PlayerHit, Rename
from tests.rows import put_event

DOMAIN = player.domain()


def watched(store: Face) -> tuple[Face, list[str]]:
    """The storage, and the names of the operations that it is asked for."""
    asked: list[str] = []

    def see(operation: Read | Append, _: object) -> None:
        asked.append(type(operation).__name__)

    return store.observed(see), asked


def test_the_next_command_and_the_next_read_need_no_load(backend: Backend) -> None:
    store, asked = watched(backend.start(DOMAIN))
    players = store.repository(Player)

    players.handle(CreatePlayer("Ada"))
    assert players.handle(Hit("Ada", 1)).modified == Player("Ada", 99, [1])
    assert players.fetch(name="Ada") == Player("Ada", 99, [1])
    assert not players.handle(CreatePlayer("Ada")).ok
    assert players.handle_many([Hit("Ada", 2), Hit("Ada", 3)])[1].modified.wounds == [1, 2, 3]

    assert asked == ["Load", "Append", "Append", "Holds", "Holds", "Append"]


def test_without_a_cache_all_is_loaded(backend: Backend) -> None:
    store, asked = watched(backend.start(DOMAIN, cache_size=0))
    players = store.repository(Player)

    players.handle(CreatePlayer("Ada"))
    players.handle(Hit("Ada", 1))
    players.fetch(name="Ada")

    assert asked == ["Load", "Append", "Load", "Append", "Load"]


def test_two_storages_see_each_other(backend: Backend) -> None:
    backend.start(DOMAIN)
    one, other = (backend.open(DOMAIN).repository(Player) for _ in range(2))
    one.handle(CreatePlayer("Ada"))
    wounds = []
    for number in range(1, 6):
        for players in (one, other):
            wounds.append(number)
            assert players.handle(Hit("Ada", number)).modified.wounds == wounds
        assert one.fetch(name="Ada").wounds == other.fetch(name="Ada").wounds == wounds


def test_what_another_origin_has_written_is_seen(backend: Backend) -> None:
    store = backend.start(DOMAIN)
    players = store.repository(Player)
    players.handle(CreatePlayer("Ada"))
    put_event(store, Player, PlayerHit(7), origin="east", sequence=1, name="Ada")

    assert players.fetch(name="Ada").wounds == [7]
    players.handle(Hit("Ada", 1))
    put_event(store, Player, PlayerHit(8), origin="east", sequence=2, name="Ada")
    assert players.handle(Hit("Ada", 2)).original.wounds == [7, 1, 8]


def test_whom_identifiers_reach_is_asked_each_time(backend: Backend) -> None:
    """Another origin has created the player whose name ours was given; hers it is."""
    store = backend.start(DOMAIN)
    players = store.repository(Player)
    players.handle_many([CreatePlayer("Ada"), Rename("Ada", "Eve"), Hit("Eve", 1)])
    assert players.handle(Hit("Eve", 2)).modified.wounds == [1, 2]
    eve = target_of(DOMAIN, Player, {"name": "Eve"})
    of_eve = process_clock.next()
    native = MappingRecord(
        of_eve, eve.digest, '{"name":"Eve"}', eve.native_id, "east", of_eve, timestamp_of(of_eve)
    )
    store.perform(Append(DOMAIN.actor(Player).name, mappings=[native]))

    assert players.get(name="Eve") is None
    assert not players.handle(Hit("Eve", 3)).ok
    assert players.fetch(name="Ada").wounds == [1, 2]


def test_tables_that_were_emptied_are_empty(backend: Backend) -> None:
    """As between the tests of an application that keeps one storage for all of them."""
    store = backend.start(DOMAIN)
    players = store.repository(Player)
    players.handle_many([CreatePlayer("Ada"), Hit("Ada", 1)])
    if not backend.empty(DOMAIN):
        pytest.skip("nothing comes to these data from beside")

    assert players.get(name="Ada") is None
    assert not players.handle(Hit("Ada", 1)).ok
    assert players.handle(CreatePlayer("Ada")).modified == Player("Ada", 100)
    assert len(list(players.history(name="Ada"))) == 1
