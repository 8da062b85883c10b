"""Histories: what happens to a storage, step by step, as data.

A property draws one, and plays it; what fails is told as numbered steps, and written down as JSON
that can be played again. A history is an event of this library, written by its own codec.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

import spry_sqla as spry
from spry_conformance.domain import TYPES
from spry_conformance.steps import Step


@dataclass(frozen=True, repr=False)
class History(spry.Event):
    """The steps of one try of a property, in their order."""

    property: str
    steps: tuple[Step, ...]

    def apply(self, actor: object) -> None:
        """It changes nothing; it is an event in order to be written down."""

    def __repr__(self) -> str:
        return f"History({self.property!r}, {len(self.steps)} steps)"

    def _repr_pretty_(self, printer: Any, _: object) -> None:
        # Hypothesis would tell it in full, and warn of the length.
        printer.text(repr(self))

    def __str__(self) -> str:
        return "\n".join(f"  {number:>2}. {step}" for number, step in enumerate(self.steps, 1))

    def to_json(self) -> str:
        """One line of JSON."""
        text: str = _codec().encode(self)
        return text

    @classmethod
    def from_json(cls, text: str) -> "History":
        """Raises UnreadableContent for what is no history of this version."""
        history: History = _codec().decode(text)
        return history


def read_history(path: Path) -> History:
    """The history in a file. Raises OSError, UnreadableContent."""
    return History.from_json(path.read_text("utf-8"))


@cache
def known_histories() -> Mapping[str, tuple[History, ...]]:
    """Number of a property → histories that it always tries, before others are drawn.

    Each has caught an adapter that was broken on purpose, which chance finds only now and then.
    """
    known: dict[str, tuple[History, ...]] = {}
    for line in (files(__package__) / "known.jsonl").read_text("utf-8").splitlines():
        history = History.from_json(bytes(msgspec.json.decode(line, type=_Known).history).decode())
        known[history.property] = (*known.get(history.property, ()), history)
    return known


class _Known(msgspec.Struct):
    caught: str
    history: msgspec.Raw


@cache
def _codec() -> Any:
    return spry.Domain(*TYPES, History).event(History).codec
