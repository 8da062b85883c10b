"""Appending: order, sequences, atomicity."""

from typing import Any

from spry_conformance.domain import Account
from spry_conformance.lab import Lab, expect, outcome_of
from spry_conformance.model import Model
from spry_conformance.properties.registry import promise
from spry_conformance.steps import Reopen
from spry_conformance.strategies import batches, handles, histories, reopenings


@promise(
    "P01",
    "events-keep-their-order",
    "Events come back in the order in which they were appended.",
    steps=histories(handles, batches, reopenings),
)
def events_keep_their_order(lab: Lab, steps: tuple[Any, ...]) -> None:
    model = Model(Account)
    for step in steps:
        if isinstance(step, Reopen):
            lab.reopen(step)
        else:
            outcome_of(lab.do, step)
            outcome_of(model.do, step)
    for identifiers in model.actors():
        events = [fact.event for fact in model.history(identifiers)]
        found = [entry.event for entry in lab.accounts.history(identifiers)]
        expect(found, events, f"the events of {dict(identifiers)}")
