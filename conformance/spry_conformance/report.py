"""What was found, as a table for the terminal, as JSON, and as one page of HTML.

A line is one property on one adapter. Each form says what was tried, and never calls passed what
was not: what was not reached is not there, and what was left out of a property is named.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.metadata import version
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from spry_conformance.runner import Outcome

FORMS = (".html", ".json")


class Line(msgspec.Struct, frozen=True):
    """How one property fared on one adapter.

    `where` tells adapters of one name apart: the class that tried it. `verdict` is "passed",
    "failed" or "not claimed"; `lacking` are the capabilities that were not claimed, for want of
    which all of the property was not tried, or a part of it. Of a failure: `seen`, `steps` (a
    sentence each), `history` (the JSON to replay) and `trace`.
    """

    number: str
    name: str
    promise: str
    adapter: str
    verdict: str
    tried: int
    seconds: float
    seed: int | None
    lacking: tuple[str, ...] = ()
    seen: str = ""
    steps: tuple[str, ...] = ()
    history: str = ""
    trace: str = ""
    where: str = ""


def line_of(outcome: Outcome, where: str = "") -> Line:
    """The line of an outcome."""
    tried, history = outcome.property, outcome.history
    return Line(
        tried.number,
        tried.name,
        tried.promise,
        outcome.adapter,
        outcome.verdict.value,
        outcome.tried,
        round(outcome.seconds, 3),
        outcome.seed,
        outcome.lacking,
        _writable(outcome.seen),
        () if history is None else tuple(_writable(str(step)) for step in history.steps),
        "" if history is None else _writable(history.to_json()),
        _writable(outcome.trace),
        where,
    )


def _writable(text: str) -> str:
    """Text that UTF-8 can hold: a lone surrogate is written as its escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def write(path: Path, lines: Sequence[Line]) -> None:
    """Write a report in the form that the name ends with.

    Raises ValueError for another form, OSError where it cannot be written.
    """
    checked(path).write_text(to_html(lines) if path.suffix == ".html" else to_json(lines), "utf-8")


def checked(path: Path) -> Path:
    """The path of a report. Raises ValueError for a form that there is none of."""
    if path.suffix not in FORMS:
        raise ValueError(f"a report ends with {' or '.join(FORMS)}, and {path.name} does not")
    return path


def to_json(lines: Sequence[Line]) -> str:
    """An object: what tried, when, and `results`, a list of lines."""
    report = {"made": _made(), "with": _versions(), "results": lines}
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()


def to_text(lines: Sequence[Line], width: int, *, color: bool = False) -> str:
    """A table for each adapter, and what was seen of each failure."""
    console = Console(width=width, force_terminal=color, no_color=not color, highlight=False)
    with console.capture() as captured:
        for adapter, of_adapter in _by_adapter(lines):
            console.print(table(adapter, of_adapter))
            console.print(_sum(of_adapter), markup=False)
    return captured.get()


def table(adapter: str, lines: Iterable[Line]) -> Table:
    """The table of one adapter."""
    made = Table(title=Text(f"conformance of {adapter}"), title_justify="left", expand=True)
    made.add_column("property", no_wrap=True)
    made.add_column("promise", ratio=1)
    made.add_column("verdict")
    made.add_column("tried", justify="right")
    made.add_column("s", justify="right")
    for line in lines:
        seen = f"\nseen: {line.seen}" if line.verdict == "failed" else ""
        made.add_row(
            f"{line.number} {line.name}",
            Text(line.promise + seen),
            Text(_told(line), _COLORS[line.verdict]),
            str(line.tried or ""),
            f"{line.seconds:.1f}" if line.tried else "",
        )
    return made


_COLORS = {"passed": "green", "failed": "bold red", "not claimed": "yellow"}


def _told(line: Line) -> str:
    if not line.lacking:
        return line.verdict
    without = "" if line.verdict == "not claimed" else "without "
    return f"{line.verdict} ({without}{', '.join(line.lacking)})"


def _sum(lines: Sequence[Line]) -> str:
    counts = [f"{sum(line.verdict == verdict for line in lines)} {verdict}" for verdict in _COLORS]
    seeds = sorted({line.seed for line in lines if line.seed is not None})
    return ", ".join(counts) + (f"; seed {', '.join(map(str, seeds))}" if seeds else "")


def _by_adapter(lines: Sequence[Line]) -> Iterable[tuple[str, list[Line]]]:
    for adapter, where in dict.fromkeys((line.adapter, line.where) for line in lines):
        of_adapter = [line for line in lines if (line.adapter, line.where) == (adapter, where)]
        title = f"{adapter} ({where})" if where else adapter
        yield title, sorted(of_adapter, key=lambda line: line.number)


def _made() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("spry-conformance", "spry-sqla", "hypothesis")}


# HTML ---------------------------------------------------------------------------------------------


def to_html(lines: Sequence[Line]) -> str:
    """One page that needs nothing else."""
    versions = ", ".join(f"{name} {number}" for name, number in _versions().items())
    parts = [_HEAD, f"<p>{escape(_made())}, with {escape(versions)}</p>"]
    for adapter, of_adapter in _by_adapter(lines):
        parts += [
            f"<h2>{escape(adapter)}</h2><p>{escape(_sum(of_adapter))}</p>",
            "<table><tr><th>property<th>promise<th>verdict<th>histories<th>seconds<th>seed</tr>",
            *map(_row, of_adapter),
            "</table>",
        ]
    return "\n".join([*parts, "</html>", ""])


def _row(line: Line) -> str:
    kind = line.verdict.replace(" ", "-")
    tried = (str(line.tried), f"{line.seconds:.1f}", str(line.seed)) if line.tried else ("",) * 3
    row = [
        f"<tr class={kind}><td><b>{line.number}</b> {escape(line.name)}",
        f"<td>{escape(line.promise)}<td>{escape(_told(line))}",
        *(f"<td class=number>{each}" for each in tried),
    ]
    if line.verdict == "failed":
        steps = "".join(f"<li class=step>{escape(step)}" for step in line.steps)
        row += [
            f"<tr class={kind}><td colspan=6><p>{escape(line.seen)}</p><ol>{steps}</ol>",
            f"<pre>{escape(line.history)}</pre>",
            f"<details><summary>trace</summary><pre>{escape(line.trace)}</pre></details>",
        ]
    return "\n".join([*row, "</tr>"])


_HEAD = """<!doctype html>
<html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>Conformance</title>
<style>
  body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem }
  table { border-collapse: collapse; width: 100% }
  th, td { border-bottom: 1px solid #ddd; padding: .4rem .6rem; text-align: left;
           vertical-align: top }
  .number { text-align: right; font-variant-numeric: tabular-nums }
  .passed td:nth-child(3) { color: #1a7f37 }
  .failed td { background: #fff1f0 }
  .failed td:nth-child(3) { color: #b91c1c; font-weight: bold }
  .not-claimed td { color: #777 }
  .step { white-space: pre-wrap }
  pre { overflow-x: auto; white-space: pre-wrap; word-break: break-all; background: #f6f6f6;
        padding: .6rem }
</style>
<h1>Conformance</h1>"""
