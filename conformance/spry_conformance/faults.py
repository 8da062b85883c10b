"""What makes a storage raise or answer with each of its errors, by the name of the case."""

from collections.abc import Callable
from functools import partial
from typing import Any

from spry_conformance.domain import Account, Deposit, Hesitate, Open, Rename, meanwhile
from spry_conformance.faces import Face, PlainFace
from spry_conformance.lab import Lab, outcome_of
from spry_conformance.planted import (
    DEPOSITED,
    PLANTS,
    Plant,
    event_record,
    events_of,
    later,
    owner_of,
    plant,
)
from spry_conformance.steps import MAIN
from spry_sqla.adapters import Append, new_id

Fault = Callable[[Lab], Any]
"""Raises an error, or gives results with one."""

_DEPOSIT = Deposit("Kim", (1,))


def _key_of_another(lab: Lab) -> Any:
    outcome_of(partial(lab.accounts.handle, _DEPOSIT, idempotency_key="of another"))
    return lab.accounts.handle(Deposit("Lea", (2,)), idempotency_key="of another")


def _one_key_twice(lab: Lab) -> Any:
    keys = ["twice", "twice"]
    return lab.accounts.handle_many([_DEPOSIT, Deposit("Lea", (2,))], idempotency_keys=keys)


def _taken(lab: Lab) -> Any:
    lab.accounts.handle_many([Open("Kim"), Open("Lea")])
    return lab.accounts.handle(Rename("Kim", "Lea"))


def _taken_and_unwrapped(lab: Lab) -> Any:
    return _taken(lab).unwrap()


def _closed(lab: Lab) -> Any:
    face = lab.open()
    accounts = face.repository(Account)
    face.close()
    return accounts.handle(_DEPOSIT)


def _spoilt(planted: Plant, name: str, lab: Lab) -> Any:
    owner = f"with {name}"
    outcome_of(partial(lab.accounts.handle, Deposit(owner, (1,))))
    plant(lab.storage(), Account, {"owner": owner}, planted)
    if planted.in_command:
        return [*lab.accounts.history(owner=owner)]
    return lab.accounts.handle(Deposit(owner, (1,)))


def _with_an_id(owner: str, make: Callable[[], str], lab: Lab) -> Any:
    """An event arrives whose id no clock could have given by now."""
    outcome_of(partial(lab.accounts.handle, Deposit(owner, (1,))))
    _put(lab.storage(), owner, make())
    return lab.accounts.handle(Deposit(owner, (1,)))


def _put(face: Face, owner: str, event_id: str) -> None:
    of_actor = owner_of(face, Account, {"owner": owner})
    sequence = len(events_of(face, Account, of_actor)) + 1
    usual = Plant("Deposited", 1, DEPOSITED, None)
    event = event_record(of_actor, MAIN, sequence, usual, event_id=event_id)
    face.perform(Append(face.domain.actor(Account).name, events=[event]))


def _from_the_future() -> str:
    return later(new_id(), 90_000)


def _late_in_a_transaction(lab: Lab) -> Any:
    """Somebody else's event comes first: in the same transaction, so that nobody has to wait."""
    face = lab.storage()
    if not isinstance(face, PlainFace) or "transactions" not in lab.adapter.capabilities:
        return None
    with face.transaction() as joined:
        accounts = joined.repository(Account)
        accounts.handle(Deposit("late", (1,)))
        meanwhile(lambda: _put(joined, "late", new_id()))
        try:
            return accounts.handle(Hesitate("late", 1))
        finally:
            meanwhile(None)


FAULTS: dict[str, Fault] = {
    "the key of another command": _key_of_another,
    "one key for two commands of a batch": _one_key_twice,
    "a name that is taken": _taken,
    "a name that is taken, unwrapped": _taken_and_unwrapped,
    "a closed storage": _closed,
    "a record of the future": partial(_with_an_id, "of the future", _from_the_future),
    "a late writer in a transaction": _late_in_a_transaction,
    **{f"to read {name}": partial(_spoilt, planted, name) for name, planted in PLANTS.items()},
}
