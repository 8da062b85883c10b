"""Plays steps at a lab and at the model, and compares whom identifiers reach."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import spry_sqla as spry
from spry_conformance.lab import Lab, expect, outcome_of
from spry_conformance.model import Model, name_of
from spry_conformance.sameness import expect_same
from spry_conformance.steps import HandleMany, Reopen


def play(lab: Lab, model: Model[Any], steps: Iterable[Any], *, look: bool = False) -> None:
    """Do steps at both, and compare; `look` at those that a step is for, before and after it."""
    for step in steps:
        if isinstance(step, Reopen):
            lab.reopen(step)
            continue
        named = [command.identifiers() for command in commands_of(step)] if look else []
        fetched(lab, model, named)
        found, expected = outcome_of(lab.do, step), outcome_of(model.do, step)
        if isinstance(found, Exception):
            raise found
        for command, each, other in zip(
            commands_of(step), listed(found), listed(expected), strict=True
        ):
            errors, wanted = ([type(error) for error in both.errors] for both in (each, other))
            expect(errors, wanted, f"the errors of {command!r}")
            expect_same(each.modified, other.modified, f"the state after {command!r}")
        fetched(lab, model, named)


def fetched(lab: Lab, model: Model[Any], pool: Iterable[spry.Identifiers]) -> None:
    """Each of some identifiers, in several orders, reaches the state that the model says."""
    actors = lab.storage().repository(model.actor)
    for each in pool:
        state = model.fetch(each)
        for identifiers in _orders(each):
            expect_same(actors.fetch(identifiers), state, f"the state of {identifiers!r}")


def reached(lab: Lab, model: Model[Any], pool: Sequence[spry.Identifiers]) -> None:
    """Each of some identifiers reaches whom the model says, or nobody, by every way to ask."""
    fetched(lab, model, pool)
    actors = lab.storage().repository(model.actor)
    for each in pool:
        facts, other_order = model.history(each), dict(reversed([*each.items()]))
        expect(actors.exists(other_order), bool(facts), f"whether there is {each!r}")
        expect(len([*actors.history(other_order)]), len(facts), f"the number of events of {each!r}")
        if not {"version", "at"} & {*each}:
            names: dict[str, Any] = dict(each)
            expect_same(actors.fetch(**names), model.fetch(each), f"the state of {each!r}")
    found = [name_of(each) for each in actors.actors()]
    expect(found, [name_of(each) for each in model.actors()], "the actors that there are")


def _orders(identifiers: spry.Identifiers) -> Iterator[spry.Identifiers]:
    """As they are, from the last to the first, and from the second on."""
    items = [*identifiers.items()]
    orders = (tuple(items), tuple(reversed(items)), (*items[1:], items[0]))
    return map(dict, dict.fromkeys(orders))


def commands_of(step: Any) -> Sequence[Any]:
    """The commands of a step, which handles one or many."""
    return step.commands if isinstance(step, HandleMany) else (step.command,)


def listed(results: Any) -> list[Any]:
    """Results of one command as those of many."""
    return results if isinstance(results, list) else [results]
