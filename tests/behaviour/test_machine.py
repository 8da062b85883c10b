"""Every backend, in step with a model: whatever an application does, it sees the same.

Hypothesis draws the histories; `pytest --hypothesis-profile=thorough` draws many more.
"""

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

import spry_sqla as spry
from tests.backends import BACKENDS, Backend, Repo, Store
from tests.behaviour.examples import examples
from tests.behaviour.model import Model, name_of
from tests.conftest import Backends
from tests.domains import player
from tests.domains.player import Player
from tests.rows import put_snapshot, stored

names = st.sampled_from(["Ada", "Bob", "Zo\u00eb", "Zoe\u0308", ""])
points = st.sampled_from([0, 1, 30, 2**70])
commands = st.one_of(
    st.builds(player.CreatePlayer, names),
    st.builds(player.CreatePlayer, names),
    st.builds(player.Hit, names, points),
    st.builds(player.Beat, names, st.lists(points, max_size=4).map(tuple)),
    st.builds(player.Rename, names, names),
    st.builds(player.Curse, names, st.booleans()),
    st.builds(player.Stumble, names),
    st.builds(player.Weigh, names, st.sampled_from([Decimal("1.10"), Decimal("NaN")])),
)
keys = st.none() | st.sampled_from(["k1", "k2", "k3"])
metadata = st.none() | st.sampled_from([{}, {"user": "eve"}, {"at": Decimal("1.10"), "n": {1, 2}}])
metas = st.builds(
    spry.ActorMeta,
    snapshot_frequency=st.sampled_from([1, 3]),
    snapshot_during_read=st.booleans(),
    snapshot_during_write=st.booleans(),
    revision=st.integers(0, 1),
)


class Machine(RuleBasedStateMachine):
    backends: ClassVar[list[Backend]]

    def __init__(self) -> None:
        super().__init__()
        self.model = Model(Player)
        self.stores: dict[str, Store] = {}
        self.players: dict[str, Repo[Player]] = {}

    @initialize(meta=metas)
    def start(self, meta: spry.ActorMeta) -> None:
        for backend in self.backends:
            backend.clear(player.domain(meta))
        self._open(meta)

    @rule(command=commands, key=keys, metadata=metadata)
    def handle(self, command: Any, key: str | None, metadata: dict[str, Any] | None) -> None:
        expected = outcome(lambda: [self.model.handle(command, key, metadata)])
        for name, players in self.players.items():
            found = outcome(partial(one, players, command, key, metadata))
            assert found == expected, name
        self._compare(command.name)

    @rule(
        batch=st.lists(st.tuples(commands, keys), max_size=5),
        metadata=metadata,
    )
    def handle_many(
        self, batch: list[tuple[Any, str | None]], metadata: dict[str, Any] | None
    ) -> None:
        of_batch, by_command = [command for command, _ in batch], [key for _, key in batch]
        expected = outcome(lambda: self.model.handle_many(of_batch, by_command, metadata))
        for name, players in self.players.items():
            batch_of = partial(players.handle_many, of_batch, idempotency_keys=by_command)
            found = outcome(partial(batch_of, metadata=metadata))
            assert found == expected, name
        for name in {command.name for command in of_batch}:
            self._compare(name)

    @rule(name=names, version=st.integers(0, 9))
    def look_back(self, name: str, version: int) -> None:
        as_of_version = self.model.fetch({"name": name}, version)
        for backend, players in self.players.items():
            assert players.fetch(name=name, version=version) == as_of_version, backend

            times = [entry.time for entry in players.history(name=name)]
            for time in times[version : version + 1]:
                # Several events of one command may lie in one microsecond.
                as_of_time = self.model.fetch({"name": name}, sum(each <= time for each in times))
                assert players.fetch(name=name, at=time) == as_of_time, backend

    @rule(meta=metas)
    def open_again_with_other_code(self, meta: spry.ActorMeta) -> None:
        self._open(meta)

    @rule(name=names, state=st.sampled_from(["[]", "null", '{"name": 1}']))
    def spoil_snapshot(self, name: str, state: str) -> None:
        for store in self.stores.values():
            rows = stored(store, Player, name=name)
            if rows.events:
                put_snapshot(
                    store,
                    Player,
                    state=state,
                    vector=f'{{"main":{len(rows.events)}}}',
                    last_event=rows.events[-1].id,
                    version=len(rows.events),
                    name=name,
                )
        self._compare(name)

    def teardown(self) -> None:
        for name in ("Ada", "Bob", "Zo\u00eb", "Zoe\u0308", "", "nobody"):
            self._compare(name)
        for store in self.stores.values():
            store.close()

    def _open(self, meta: spry.ActorMeta) -> None:
        for store in self.stores.values():
            store.close()
        self.stores = {backend.name: backend.open(player.domain(meta)) for backend in self.backends}
        self.players = {name: store.repository(Player) for name, store in self.stores.items()}

    def _compare(self, name: str) -> None:
        state = self.model.fetch({"name": name})
        facts = self.model.history({"name": name})
        for backend, players in self.players.items():
            assert players.fetch(name=name) == state, backend
            assert players.get({"name": name}) == (state if facts else None), backend
            assert players.exists(name=name) is bool(facts), backend

            entries = list(players.history(name=name))
            assert [entry.version for entry in entries] == list(range(1, len(facts) + 1)), backend
            assert [(entry.event, entry.command, entry.metadata) for entry in entries] == [
                (fact.event, fact.command, fact.metadata) for fact in facts
            ], backend
            assert all(each.time <= after.time for each, after in pairwise(entries)), backend

            actors = list(map(name_of, players.actors()))
            assert actors == list(map(name_of, self.model.actors())), backend


def one(
    players: Repo[Player], command: Any, key: str | None, metadata: dict[str, Any] | None
) -> list[spry.Results[Player]]:
    return [players.handle(command, idempotency_key=key, metadata=metadata)]


def outcome(work: Callable[[], list[spry.Results[Player]]]) -> Any:
    """Results as values that can be compared; of the library's own errors the class."""
    try:
        results = work()
    except Exception as error:  # noqa: BLE001  (whatever it is, it must be the same everywhere)
        return type(error)
    return [
        (
            each.original,
            each.modified,
            each.events,
            [(type(error), error.args * isinstance(error, spry.Rejected)) for error in each.errors],
        )
        for each in results
    ]


@pytest.mark.slow
def test_every_backend_shows_what_the_model_shows(backends: Backends, thorough: bool) -> None:
    count = 12 if thorough else 4
    run_state_machine_as_test(on(backends, *BACKENDS), settings=examples(count, steps=25))


@pytest.mark.thorough
def test_long_lives_are_what_the_model_shows(backends: Backends) -> None:
    run_state_machine_as_test(
        on(backends, "memory", "sqlite-memory"), settings=examples(20, steps=80)
    )


def on(kept: Backends, *names: str) -> type[Machine]:
    """The machine with some of the backends."""
    return type("SomeBackends", (Machine,), {"backends": [kept[name] for name in names]})
