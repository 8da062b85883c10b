"""Who is reached by which identifiers, on every backend."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest

import spry_sqla as spry
from spry_sqla.adapters import MappingRecord, target_of
from spry_sqla.clock import process_clock, timestamp_of
from spry_sqla.operations import Append
from tests.backends import Backend, let_first
from tests.domains import account, player, seats
from tests.domains.account import Account, Branch, Number, Pay
from tests.domains.player import CreatePlayer, Hit, Player, Rename
from tests.domains.seats import Reserve, Seat

ONE = UUID(int=1)
NUMBERS: list[Number] = [
    *(1, "1", True, Decimal(1), ONE, str(ONE), Branch.SOUTH, 2, "SOUTH", Branch.NORTH, "north"),
    *(date(2020, 1, 1), datetime(2020, 1, 1), "2020-01-01", datetime(2020, 1, 1, tzinfo=UTC)),
    *("", " ", "a", "A", "á", "a ", "null", "{}", '{"number":1}', 0, False, -1, 2**70),
]


def test_the_order_of_the_names_does_not_matter(backend: Backend) -> None:
    places = backend.start(seats.domain()).repository(Seat)

    places.handle(Reserve(row=1, number="a", first="row"))
    places.handle(Reserve(row=1, number="a", first="number"))

    assert places.fetch(row=1, number="a").reserved == 2
    assert places.fetch({"number": "a", "row": 1}).reserved == 2
    assert len(list(places.actors())) == 1


def test_values_of_different_types_are_different_actors(backend: Backend) -> None:
    accounts = backend.start(account.domain()).repository(Account)

    for place, number in enumerate(NUMBERS):
        accounts.handle(Pay(number, Decimal(place + 1))).unwrap()

    for place, number in enumerate(NUMBERS):
        assert accounts.fetch(number=number).balance == place + 1
    assert list(accounts.actors()) == [{"number": number} for number in NUMBERS]
    assert [type(each["number"]) for each in accounts.actors()] == list(map(type, NUMBERS))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Zo\u00eb", "Zoe\u0308"),
        (Decimal("1.0"), Decimal("1.00")),
        (Decimal(100), Decimal("1E+2")),
        (Decimal(0), Decimal("-0")),
        (
            datetime(2020, 1, 1, 12, tzinfo=UTC),
            datetime(2020, 1, 1, 13, tzinfo=timezone(timedelta(hours=1))),
        ),
    ],
)
def test_two_ways_to_write_one_value_are_one_actor(
    backend: Backend, one: Number, other: Number
) -> None:
    accounts = backend.start(account.domain()).repository(Account)

    accounts.handle(Pay(one, Decimal(1)))
    accounts.handle(Pay(other, Decimal(2)))

    assert accounts.fetch(number=one).balance == accounts.fetch(number=other).balance == 3
    assert len(list(accounts.actors())) == 1


def test_two_databases_derive_the_same_id_for_the_same_identifiers(backend: Backend) -> None:
    from tests.rows import stored

    ids = set()
    for _ in range(2):
        store = backend.start(player.domain())
        store.repository(Player).handle(CreatePlayer("Ada"))
        ids.add(stored(store, Player, name="Ada").actor_id)

    assert len(ids) == 1


def test_old_and_new_identifiers_reach_an_actor_for_ever(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)
    players.handle(CreatePlayer("Ada"))

    players.handle(Rename("Ada", "Eve"))
    players.handle(Rename("Eve", "Ida"))

    for earlier in ("Ada", "Eve", "Ida"):
        assert players.fetch(name=earlier) == Player("Ida", 100)
        assert players.handle(Hit(earlier, 0)).ok
    assert list(players.actors()) == [{"name": "Ida"}]
    assert len(list(players.history(name="Ada"))) == 3


def test_an_actor_can_go_back_to_earlier_identifiers(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)
    players.handle(CreatePlayer("Ada"))
    players.handle(Rename("Ada", "Eve"))

    results = players.handle(Rename("Eve", "Ada"))

    assert results.unwrap() == players.fetch(name="Eve") == Player("Ada", 100)


@pytest.mark.parametrize("earlier", ["Bob", "Bea"])
def test_identifiers_of_another_actor_cannot_be_taken(backend: Backend, earlier: str) -> None:
    store = backend.start(player.domain())
    players = store.repository(Player)
    players.handle_many([CreatePlayer("Ada"), CreatePlayer("Bob"), Rename("Bob", "Bea")])

    results = players.handle(Rename("Ada", earlier))

    assert [type(error) for error in results.errors] == [spry.IdentifiersTaken]
    assert "Rename" in str(results.errors[0])
    assert "Player" in str(results.errors[0])
    assert results.modified == players.fetch(name="Ada") == Player("Ada", 100)
    assert players.fetch(name=earlier) == Player("Bea", 100)
    assert backend.count(store.domain.actor(Player), "commands") == 3


def test_earlier_identifiers_are_never_given_to_a_new_actor(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)
    players.handle_many([CreatePlayer("Ada"), Rename("Ada", "Eve")])

    results = players.handle(CreatePlayer("Ada"))

    assert [str(error) for error in results.errors] == ["the name is taken"]
    assert len(list(players.actors())) == 1


def test_two_actors_cannot_take_the_same_identifiers_at_once(backend: Backend) -> None:
    from spry_sqla.operations import Append

    store = backend.start(player.domain())
    players = store.repository(Player)
    players.handle_many([CreatePlayer("Ada"), CreatePlayer("Bob")])
    bob = list(players.history(name="Bob"))
    assert bob
    rival_store = backend.open(player.domain())
    from tests.rows import stored_id

    bob_id = stored_id(rival_store, Player, name="Bob")
    rivals: list[Append] = []

    def bob_is_first(append: Append) -> Append | None:
        import msgspec

        from spry_sqla.clock import process_clock

        if rivals:
            return None
        rivals.append(append)
        return Append(
            append.actor,
            mappings=[
                msgspec.structs.replace(each, id=process_clock.next(), actor_id=bob_id)
                for each in append.mappings
            ],
        )

    let_first(store, bob_is_first)
    results = players.handle(Rename("Ada", "Eve"))

    assert len(rivals) == 1
    assert [type(error) for error in results.errors] == [spry.IdentifiersTaken]
    assert players.fetch(name="Ada") == Player("Ada", 100)


@pytest.mark.parametrize(
    "identifiers",
    [
        *({}, {"name": None}, {"name": 1.0}, {"name": ["a"]}, {"name": {"a": 1}}, {"": "a"}),
        *({"name": "\ud800"}, {"name": Decimal("NaN")}, {"name": b"a"}, {1: "a"}, {"name": ()}),
        *({"é": 1, "e\u0301": 2}, [("name", "a")], "name"),
    ],
    ids=repr,
)
def test_what_cannot_identify_is_refused(backend: Backend, identifiers: spry.Identifiers) -> None:
    players = backend.start(player.domain()).repository(Player)

    for ask in (players.fetch, players.get, players.exists, lambda x: list(players.history(x))):
        with pytest.raises(spry.UnusableIdentifiers):
            ask(identifiers)


def test_identifiers_come_as_a_mapping_or_as_keywords_and_not_as_both(backend: Backend) -> None:
    players = backend.start(player.domain()).repository(Player)

    with pytest.raises(spry.UnusableIdentifiers, match="keywords"):
        players.fetch({"name": "Ada"}, title="Dr.")


@dataclass
class Person(spry.Actor):
    """Its zero state cannot say what it is called."""

    email: str | None = None

    def identifiers(self) -> spry.Identifiers:
        assert self.email is not None
        return {"email": self.email.lower()}


@dataclass(frozen=True)
class Register(spry.Command):
    email: str

    def identifiers(self) -> spry.Identifiers:
        return {"email": self.email}

    def handle(self, actor: object) -> spry.Decision:
        return Registered(self.email)


@dataclass(frozen=True)
class Registered(spry.Event):
    email: str

    def apply(self, actor: Person) -> None:
        actor.email = self.email


@pytest.mark.parametrize("email", ["a@x", "A@x"])
def test_a_zero_state_need_not_have_identifiers(backend: Backend, email: str) -> None:
    people = backend.start(spry.Domain(Person, Register, Registered)).repository(Person)

    assert people.handle(Register(email)).modified == Person(email)
    assert people.fetch(email=email) == people.fetch(email="a@x") == Person(email)


def test_a_name_that_we_gave_away_and_a_replica_has_created_can_be_used(backend: Backend) -> None:
    """The other's actor has it by nature, and our mapping of it stays."""
    store = backend.start(player.domain())
    players = store.repository(Player)
    players.handle_many([CreatePlayer("Ada"), Rename("Ada", "Eve")])
    eve, of_eve = target_of(store.domain, Player, {"name": "Eve"}), process_clock.next()
    native = MappingRecord(
        of_eve,
        eve.digest,
        '{"name":"Eve"}',
        eve.native_id,
        "east",
        of_eve,
        timestamp_of(of_eve),
    )
    store.perform(Append(store.domain.actor(Player).name, mappings=[native]))

    assert players.handle(CreatePlayer("Eve")).modified == Player("Eve", 100)
    assert players.fetch(name="Ada").name == "Eve"


@dataclass
class Ghost(spry.Actor):
    name: str = ""

    def identifiers(self) -> spry.Identifiers:
        return {"name": self.name} if self.name else {}


@dataclass(frozen=True)
class Appear(spry.Command):
    name: str
    as_: str

    def identifiers(self) -> spry.Identifiers:
        return {"name": self.name}

    def handle(self, actor: object) -> spry.Decision:
        return Appeared(self.as_)


@dataclass(frozen=True)
class Appeared(spry.Event):
    name: str

    def apply(self, actor: object) -> None:
        if isinstance(actor, Ghost):
            actor.name = self.name


def test_an_event_cannot_leave_an_actor_without_identifiers(backend: Backend) -> None:
    ghosts = backend.start(spry.Domain(Ghost, Appear, Appeared)).repository(Ghost)
    ghosts.handle(Appear("a", "a"))

    with pytest.raises(spry.UnusableIdentifiers):
        ghosts.handle(Appear("a", ""))

    assert ghosts.fetch(name="a") == Ghost("a")
