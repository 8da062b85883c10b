"""The models of all actor types together, and whether a storage shows what they show.

Outcomes are compared as an application can tell them apart: states and events by value, errors by
their class, and those of the application's rules by their text, too.
"""

from collections.abc import Iterable, Iterator
from copy import deepcopy
from itertools import pairwise
from typing import Any

import spry_sqla as spry
from spry_conformance.domain import ACTORS, Account, Rename, actor_of
from spry_conformance.faces import Face, Repo
from spry_conformance.lab import Broken, expect, outcome_of
from spry_conformance.model import Model, name_of
from spry_conformance.steps import Fetch, Handle, HandleMany

Whom = tuple[type[Any], spry.Identifiers]
"""An actor type, and identifiers of one of its actors."""


class World:
    """A model for each actor type of the kit's domain."""

    def __init__(self) -> None:
        self.models: dict[type[Any], Model[Any]] = {actor: Model(actor) for actor in ACTORS}

    def do(self, step: Handle | HandleMany | Fetch) -> Any:
        """What a step must answer; what it must raise is raised."""
        return self.models[actor_type(step)].do(step)

    def copy(self) -> "World":
        """The world as it is now, which goes its own way from here."""
        made = World()
        made.models = deepcopy(self.models)
        return made

    def become(self, other: "World") -> None:
        """Be as another world is."""
        self.models = other.models

    def everybody(self) -> Iterator[Whom]:
        """Everybody who is there, by the newest name."""
        return (
            (actor, identifiers)
            for actor, model in self.models.items()
            for identifiers in model.actors()
        )


def actor_type(step: Handle | HandleMany | Fetch) -> type[Any]:
    """The actor type that a step is about."""
    match step:
        case Handle(command):
            return actor_of(command)
        case HandleMany(commands):
            return actor_of(commands[0])
    return Account


def concerned(step: Handle | HandleMany | Fetch) -> list[Whom]:
    """Whom a step is about, each once: under the names that it mentions."""
    if isinstance(step, Fetch):
        return [(Account, {"owner": step.owner})]
    whom = {}
    for command in step.commands if isinstance(step, HandleMany) else [step.command]:
        named = [command.identifiers()]
        if isinstance(command, Rename):
            named.append({"owner": command.to})
        for identifiers in named:
            whom[actor_of(command), name_of(identifiers)] = (actor_of(command), identifiers)
    return list(whom.values())


def told(outcome: Any) -> Any:
    """What a step has answered or raised, as values that can be compared."""
    match outcome:
        case spry.Results(original, modified, events, errors):
            return original, modified, events, [_error(error) for error in errors]
        case list():
            return [told(each) for each in outcome]
        case Exception():
            return f"raised {type(outcome).__name__}"
    return outcome


def _error(error: Exception) -> str:
    # What the library says for itself may be worded anew.
    text = f": {error}" if isinstance(error, spry.Rejected) else ""
    return type(error).__name__ + text


def expect_outcome(found: Any, expected: Any, what: object) -> None:
    """Raises Broken where what a step answered or raised is not what it should be."""
    if told(found) != told(expected):
        cause = found if isinstance(found, Exception) else None
        raise Broken(
            f"{what}: expected {told(expected)!r}, and found {told(found)!r}"
            + ("" if cause is None else f" ({cause})")
        ) from cause


def expect_step(storage: Face, world: World, step: Handle | HandleMany | Fetch, found: Any) -> None:
    """Do a step in the world; raises Broken where it does not come to what was found.

    Nor may the storage show what the world does not, of those whom the step is about.
    """
    expect_outcome(found, outcome_of(world.do, step), step)
    expect_shown(storage, world, concerned(step))


def expect_all(storage: Face, world: World) -> None:
    """Raises Broken where a storage does not show all that is there, and nobody else."""
    expect_shown(storage, world, [*world.everybody(), (Account, {"owner": "nobody"})])
    for actor, model in world.models.items():
        expect_actors(storage.repository(actor), model, actor)


def expect_shown(storage: Face, world: World, whom: Iterable[Whom]) -> None:
    """Raises Broken where a storage shows of some actors what the world does not."""
    for actor, identifiers in whom:
        expect_life(storage.repository(actor), world.models[actor], identifiers)


def expect_life(repository: Repo[Any], model: Model[Any], identifiers: spry.Identifiers) -> None:
    """Raises Broken where an actor is not what it is in the model: its state, its history."""
    who = ", ".join(f"{name}={value!r}" for name, value in identifiers.items())
    state, facts = model.fetch(identifiers), model.history(identifiers)
    expect(repository.fetch(identifiers), state, f"fetch of {who}")
    expect(repository.get(identifiers), state if facts else None, f"get of {who}")
    expect(repository.exists(identifiers), bool(facts), f"exists of {who}")
    entries = list(repository.history(identifiers))
    expect(
        [(entry.event, entry.command, dict(entry.metadata)) for entry in entries],
        [(fact.event, fact.command, dict(fact.metadata)) for fact in facts],
        f"the history of {who}, as (event, command, metadata)",
    )
    versions = [entry.version for entry in entries]
    expect(versions, list(range(1, len(facts) + 1)), f"the versions in the history of {who}")
    if not all(one.time <= next_one.time for one, next_one in pairwise(entries)):
        raise Broken(f"the history of {who}: its times go back, from one event to the next")


def expect_actors(repository: Repo[Any], model: Model[Any], actor: type[Any]) -> None:
    """Raises Broken where the actors that there are are not those of the model, in their order."""
    found = [dict(each) for each in repository.actors()]
    if list(map(name_of, found)) != list(map(name_of, model.actors())):
        raise Broken(
            f"actors() of {actor.__name__}, in the order in which they came to be, by their newest "
            f"names: expected {[dict(each) for each in model.actors()]!r}, and found {found!r}"
        )
