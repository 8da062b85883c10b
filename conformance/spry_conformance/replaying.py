"""Plays one history again, and tells each step and what came of it."""

from collections.abc import Callable, Iterator
from typing import Any

import spry_sqla as spry
from spry_conformance.adapter import Adapter
from spry_conformance.history import History
from spry_conformance.lab import Lab
from spry_conformance.properties import Property
from spry_conformance.steps import Fetch, Handle, HandleMany

Tell = Callable[[str], object]


class ToldSteps(tuple[Any, ...]):  # noqa: SLOT001  (of a tuple they cannot be given names)
    """The steps of a history; each is told when it is reached."""

    tell: Tell

    def __iter__(self) -> Iterator[Any]:
        for number, step in enumerate(super().__iter__(), 1):
            self.tell(f"{number:>4}. {step}")
            yield step


class ToldLab(Lab):
    """A lab that tells what a step was answered."""

    def __init__(self, adapter: Adapter, tell: Tell) -> None:
        super().__init__(adapter)
        self._tell = tell

    def do(self, step: Handle | HandleMany | Fetch, at: Any = None) -> Any:
        """See `Lab.do`."""
        try:
            answer = super().do(step, at)
        except Exception as error:
            self._tell(f"      {type(error).__name__} is raised: {error}")
            raise
        for each in answer if isinstance(answer, list) else [answer]:
            self._tell(f"      {_told(each)}")
        return answer


def replay(property: Property, adapter: Adapter, history: History, tell: Tell) -> None:
    """Play a history of a property, and tell it. Raises where the promise is broken."""
    steps = ToldSteps(history.steps)
    steps.tell = tell
    with ToldLab(adapter, tell) as lab:
        property.check(lab, steps)


def _told(answer: Any) -> str:
    match answer:
        case spry.Results(errors=[_, *_] as errors):
            return "refused: " + "; ".join(map(str, errors))
        case spry.Results(events=[], modified=modified):
            return f"nothing happened; it is {modified!r}"
        case spry.Results(events=events, modified=modified):
            return f"{events!r}; it is {modified!r}"
    return repr(answer)
