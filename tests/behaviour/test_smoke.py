from tests.backends import Backend
from tests.domains import player
from tests.domains.player import *

def test_x(backend: Backend):
    store = backend.start(player.domain())
    players = store.repository(Player)
    assert players.handle(CreatePlayer("Ada")).unwrap() == Player("Ada", 100)
    assert players.fetch(name="Ada") == Player("Ada", 100)
    assert [e.version for e in players.history(name="Ada")] == [1]
    assert list(players.actors()) == [{"name":"Ada"}]
    assert backend.count(store.domain.actor(Player), "events") == 1
    assert backend.count(store.domain.actor(Player), "snapshots") == 0
    store.close()
    assert backend.open(player.domain(spry.ActorMeta(revision=2))).repository(Player).fetch(name="Ada") == Player("Ada", 100)
    store = backend.start(player.domain())
    assert backend.count(store.domain.actor(Player), "events") == 0
