"""The same error for the same fault on every backend, and in none of them a value or an id."""

import logging
import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

import spry_sqla as spry
from spry_conformance.faces import Face, Repo
from spry_sqla.clock import Clock
from tests.backends import Backend, let_first
from tests.rows import put_event, put_snapshot, rival_of, stored

SECRET = "xyzzy" + "-secret"
ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-", re.IGNORECASE)


@dataclass
class Vault(spry.Actor):
    owner: str = ""
    code: str = ""
    gold: Decimal = Decimal(0)

    def identifiers(self) -> spry.Identifiers:
        return {"owner": self.owner}


@dataclass(frozen=True)
class Put(spry.Command):
    owner: str
    gold: Decimal = Decimal(424242)
    code: str = SECRET
    gives: list[str] = field(default_factory=lambda: ["put"])

    def identifiers(self) -> spry.Identifiers:
        return {"owner": self.owner}

    def handle(self, actor: object) -> Iterator[Any]:
        for each in self.gives:
            match each:
                case "put":
                    yield HasPut(self.owner, self.gold, self.code)
                case "nan":
                    yield HasPut(self.owner, Decimal("NaN"), self.code)
                case "unregistered":
                    yield Lost(self.code)
                case "class":
                    yield spry.Rejected
                case "text":
                    yield self.code
                case owner:
                    yield HasPut(owner, self.gold, self.code)


@dataclass(frozen=True)
class HasPut(spry.Event):
    owner: str
    gold: Decimal
    code: str

    def apply(self, actor: object) -> None:
        assert isinstance(actor, Vault)
        actor.owner, actor.code = self.owner, self.code
        actor.gold += self.gold


@dataclass(frozen=True)
class Lost(spry.Event):
    code: str

    def apply(self, actor: object) -> None: ...


@dataclass(frozen=True)
class Steal(spry.Command):
    code: str = SECRET

    def identifiers(self) -> spry.Identifiers:
        return {"code": self.code}

    def handle(self, actor: object) -> spry.Decision:
        return None


@dataclass
class Unknown(spry.Actor):
    code: str = SECRET

    def identifiers(self) -> spry.Identifiers:
        return {"code": self.code}


DOMAIN = spry.Domain(Vault, Put, HasPut)
ADA, BOB = f"ada {SECRET}", f"bob {SECRET}"
Fault = Callable[[Backend, Face, Repo[Vault]], Any]
FAULTS: dict[str, tuple[type[Exception], Fault]] = {}


def fault(error: type[Exception]) -> Callable[[Fault], Fault]:
    def keep(cause: Fault) -> Fault:
        FAULTS[cause.__name__] = error, cause
        return cause

    return keep


@fault(spry.NotRegistered)
def command_not_registered(backend: Backend, store: Face, vaults: Repo[Vault]) -> Any:
    vaults.handle(Steal())


@fault(spry.NotRegistered)
def event_not_registered(backend: Backend, store: Face, vaults: Repo[Vault]) -> Any:
    vaults.handle(Put(ADA, gives=["unregistered"]))


@fault(spry.NotRegistered)
def actor_not_registered(backend: Backend, store: Face, vaults: Repo[Vault]) -> Any:
    store.repository(Unknown)


@fault(spry.DefinitionError)
def an_exception_class_is_given(backend: Backend, store: Face, vaults: Repo[Vault]) -> Any:
    vaults.handle(Put(ADA, gives=["class"]))


@fault(spry.DefinitionError)
def a_text_is_given(backend: Backend, store: Face, vaults: Repo[Vault]) -> Any:
    vaults.handle(Put(ADA, gives=["text"]))


@fault(spry.UnusableIdentifiers)
def identifiers_of_a_wrong_type(backend: Backend, store: Face, vaults: Repo[Vault]) -> Any:
    vaults.fetch({"owner": [SECRET]})  # type: ignore[dict-item]


@fault(spry.UnusableIdentifiers)
def identifiers_that_no_database_keeps(backend: Backend, store: Face, vaults: Repo[Vault]) -> Any:
    vaults.handle(Put(SECRET + "\ud800"))


@fault(spry.UnusableIdentifiers)
def events_give_unusable_identifiers(backend: Backend, store: Face, vaults: Repo[Vault]) -> Any:
    vaults.fetch({"owner": Decimal("NaN"), "code": SECRET})


@fault(spry.UnusableValue)
def a_command_cannot_be_kept(backend: Backend, store: Face, vaults: Repo[Vault]) -> Any:
    vaults.handle(Put(ADA, code=SECRET + "\ud800"))


@fault(spry.UnusableValue)
def a_command_holds_another_type(backend: Backend, store: Face, vaults: Repo[Vault]) -> Any:
    vaults.handle(Put(ADA, gold=SECRET))  # type: ignore[arg-type]


@fault(spry.UnusableValue)
def an_event_cannot_be_kept(backend: Backend, store: Face, vaults: Repo[Vault]) -> Any:
    vaults.handle(Put(ADA, gives=["put", "nan"]))


@fault(spry.UnusableValue)
def metadata_cannot_be_kept(backend: Backend, store: Face, vaults: Repo[Vault]) -> Any:
    vaults.handle(Put(ADA), metadata={"user": {SECRET: [SECRET, object()]}})


@fault(spry.UnusableValue)
def a_key_cannot_be_kept(backend: Backend, store: Face, vaults: Repo[Vault]) -> Any:
    vaults.handle(Put(ADA), idempotency_key=SECRET + "\0")


@fault(spry.KeyReused)
def a_key_is_reused(backend: Backend, store: Face, vaults: Repo[Vault]) -> Any:
    vaults.handle(Put(ADA), idempotency_key=SECRET)
    vaults.handle(Put(BOB), idempotency_key=SECRET)


@fault(spry.KeyReused)
def a_key_is_reused_in_a_batch(backend: Backend, store: Face, vaults: Repo[Vault]) -> Any:
    vaults.handle_many([Put(ADA), Put(BOB)], idempotency_keys=[SECRET, SECRET])


@fault(spry.IdentifiersTaken)
def identifiers_are_taken(backend: Backend, store: Face, vaults: Repo[Vault]) -> Any:
    vaults.handle_many([Put(ADA), Put(BOB)])
    vaults.handle(Put(ADA, gives=[BOB])).unwrap()


@fault(spry.ConcurrencyError)
def others_are_always_first(backend: Backend, store: Face, vaults: Repo[Vault]) -> Any:
    vaults.handle(Put(ADA))
    let_first(store, rival_of)
    vaults.handle(Put(ADA))


@fault(spry.UnknownType)
def the_stream_holds_an_unknown_type(backend: Backend, store: Face, vaults: Repo[Vault]) -> Any:
    spoil(store, vaults, type_name="HasTaken")
    vaults.fetch(owner=ADA)


@fault(spry.UnreadableContent)
def the_stream_holds_unreadable_content(backend: Backend, store: Face, vaults: Repo[Vault]) -> Any:
    spoil(store, vaults, content=f'{{"owner":"{ADA}","gold":"{SECRET}","code":["{SECRET}"]}}')
    vaults.fetch(owner=ADA)


@fault(spry.UnreadableContent)
def the_stream_holds_a_newer_version(backend: Backend, store: Face, vaults: Repo[Vault]) -> Any:
    spoil(store, vaults, type_version=7)
    vaults.handle(Put(ADA))


@fault(spry.ClockTooFarAhead)
def a_record_is_too_far_ahead(backend: Backend, store: Face, vaults: Repo[Vault]) -> Any:
    spoil(store, vaults, clock=Clock(lambda: 4_000_000_000_000_000_000))
    vaults.handle(Put(ADA))


@fault(spry.StorageClosed)
def a_closed_storage_handles(backend: Backend, store: Face, vaults: Repo[Vault]) -> Any:
    store.close()
    vaults.handle(Put(ADA))


@fault(spry.StorageClosed)
def a_closed_storage_reads(backend: Backend, store: Face, vaults: Repo[Vault]) -> Any:
    store.close()
    vaults.fetch(owner=ADA)


@fault(spry.StorageClosed)
def a_closed_storage_tells_history(backend: Backend, store: Face, vaults: Repo[Vault]) -> Any:
    store.close()
    list(vaults.history(owner=ADA))


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_has_its_error_on_every_backend_and_tells_no_secret(
    backend: Backend, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    error, cause = FAULTS[name]
    store = backend.start(DOMAIN, attempts=3)

    with caplog.at_level(logging.DEBUG), pytest.raises(error) as caught:
        cause(backend, store, store.repository(Vault))

    assert type(caught.value) is error
    assert isinstance(caught.value, spry.SpryError)
    assert len(str(caught.value)) > 30
    told = "".join(traceback.format_exception(caught.value)) + spry_log(caplog)
    assert SECRET not in told
    assert "424242" not in told
    assert not ID.search(str(caught.value))


def test_what_is_logged_about_a_snapshot_tells_no_secret(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    store = backend.start(DOMAIN)
    vaults = store.repository(Vault)
    vaults.handle(Put(ADA))
    put_snapshot(
        store,
        Vault,
        state=f'{{"owner":["{SECRET}"]}}',
        vector='{"main":1}',
        last_event=stored(store, Vault, owner=ADA).events[0].id,
        version=1,
        owner=ADA,
    )

    with caplog.at_level(logging.DEBUG):
        vaults.fetch(owner=ADA)

    assert "vault_snapshots" in spry_log(caplog)
    assert SECRET not in spry_log(caplog)
    assert not ID.search(spry_log(caplog))


def test_results_and_history_show_no_id(backend: Backend) -> None:
    vaults = backend.start(DOMAIN).repository(Vault)

    results = vaults.handle(Put(ADA), metadata={"user": "eve"})
    shown = repr((results, list(vaults.history(owner=ADA)), list(vaults.actors())))

    assert SECRET in shown
    assert not ID.search(shown)


def test_a_closed_storage_stays_closed_and_another_on_the_same_data_works(
    backend: Backend,
) -> None:
    store = backend.start(DOMAIN)
    store.repository(Vault).handle(Put(ADA))

    store.close()
    store.close()

    with pytest.raises(spry.StorageClosed, match="closed"):
        store.repository(Vault).fetch(owner=ADA)
    assert backend.open(DOMAIN).repository(Vault).exists(owner=ADA)


def spoil(store: Face, vaults: Repo[Vault], **row: Any) -> None:
    """Put in an event that should not be there."""
    vaults.handle(Put(ADA))
    event = HasPut(ADA, Decimal(1), SECRET)
    put_event(store, Vault, event, origin="main", sequence=2, owner=ADA, **row)


def spry_log(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(
        record.getMessage() for record in caplog.records if record.name.startswith("spry_sqla")
    )
