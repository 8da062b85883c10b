"""The table of ratios: for the terminal, for docs/performance.md, and as JSON."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from rich.console import Console
from rich.table import Table

HEADINGS = (
    "work",
    "where",
    "of the floor",
    "goal",
    "ahead of the peer",
    "goal",
    "the floor ahead",
    "peer's best",
)


@dataclass(frozen=True)
class Row:
    """One measured thing. `floor`: how many times the floor it took, to be at most `floor_goal`;
    `peer`: how many times as long the peer took, to be at least `peer_goal`."""

    work: str
    where: str
    floor: float | None = None
    floor_goal: float | None = None
    peer: float | None = None
    peer_goal: float | None = None
    peer_mode: str = ""
    context: dict[str, float] = field(default_factory=dict)
    """Numbers that are no ratios, such as the floor's operations per second on this machine."""

    @property
    def reach(self) -> float | None:
        """How many times as long as the floor the peer took: what a library without cost has."""
        return None if self.floor is None or self.peer is None else self.floor * self.peer

    @property
    def met(self) -> bool:
        floor = self.floor is None or self.floor_goal is None or self.floor <= self.floor_goal
        return floor and (
            self.peer is None or self.peer_goal is None or self.peer >= self.peer_goal
        )

    def cells(self) -> tuple[str, ...]:
        return (
            self.work,
            self.where,
            _number(self.floor),
            _goal("≤", self.floor_goal, self.floor, at_most=True),
            _number(self.peer),
            _goal("≥", self.peer_goal, self.peer, at_most=False),
            _number(self.reach),
            self.peer_mode,
        )


def show(rows: Iterable[Row]) -> None:
    table = Table(*HEADINGS, title="Ratios, each measured interleaved in one run")
    for row in rows:
        table.add_row(*row.cells(), style=None if row.met else "yellow")
    Console(width=150).print(table)


def markdown(rows: Iterable[Row]) -> str:
    lines = ["| " + " | ".join(HEADINGS) + " |", "|---|---|---:|---|---:|---|---:|---|"]
    lines += ["| " + " | ".join(row.cells()) + " |" for row in rows]
    return "\n".join(lines)


def context(rows: Iterable[Row]) -> str:
    """What is no ratio, as a line of small print for each row that has some."""
    lines = []
    for row in rows:
        if row.context:
            numbers = ", ".join(f"{name} {value:,.4g}" for name, value in row.context.items())
            lines.append(f"{row.work}, {row.where}: {numbers}")
    return "\n".join(lines)


def as_json(rows: Iterable[Row]) -> str:
    return json.dumps([{**asdict(row), "met": row.met} for row in rows], indent=2)


def _number(ratio: float | None) -> str:
    if ratio is None:
        return "-"
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}"


def _goal(sign: str, goal: float | None, ratio: float | None, *, at_most: bool) -> str:
    if goal is None or ratio is None:
        return ""
    met = ratio <= goal if at_most else ratio >= goal
    return f"{sign} {goal:g} {'met' if met else 'MISSED'}"
