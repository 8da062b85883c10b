"""The command line: `spry-conformance list`, `run` and `replay`.

Exit codes: 0 all that was tried holds, 1 something does not, 2 the command cannot be carried out as
it was given, 130 stopped by Ctrl-C.
"""

import importlib
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

import spry_sqla as spry
from spry_conformance.adapter import Adapter
from spry_conformance.history import History, read_history
from spry_conformance.properties import PROPERTIES, Property
from spry_conformance.replaying import replay as play_again
from spry_conformance.report import checked, line_of, to_text, write
from spry_conformance.runner import PROFILES, Outcome, Verdict, run, seed_of, seen

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
console = Console(highlight=False)

Address = Annotated[
    str, typer.Argument(metavar="MODULE:ADAPTER", help="an Adapter, or a function that gives one")
]


@app.callback()
def main() -> None:
    """Tries whether a storage adapter of spry_sqla keeps its promises."""
    # What the library warns of is what the histories do on purpose.
    logging.getLogger("spry_sqla").addHandler(logging.NullHandler())


@app.command("list")
def list_properties(
    markdown: Annotated[bool, typer.Option("--markdown", help="as a table for docs")] = False,
) -> None:
    """Print the properties, and what an adapter must claim for each to be tried."""
    if markdown:
        sys.stdout.write(as_markdown())
        return
    table = Table("property", "promise", "needs")
    for each in PROPERTIES:
        table.add_row(each.title, escape(each.promise), ", ".join(sorted(each.needs)))
    console.print(table)


@app.command("run")
def run_properties(
    address: Address,
    profile: Annotated[str, typer.Option(help=f"one of {', '.join(PROFILES)}")] = "default",
    seed: Annotated[int | None, typer.Option(help="draw the same histories as then")] = None,
    only: Annotated[
        list[str] | None, typer.Option("--property", help="try this one, such as P31; repeatable")
    ] = None,
    reports: Annotated[
        list[Path] | None, typer.Option("--report", help="write an .html or .json; repeatable")
    ] = None,
) -> None:
    """Try an adapter. The exit code is 1 where a property does not hold."""
    if profile not in PROFILES:
        raise typer.BadParameter(f"there is no profile {profile!r}: {', '.join(PROFILES)}")
    for report in reports or ():
        try:
            checked(report)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
    chosen = _chosen(only)
    adapter = adapter_at(address)
    seeded = seed_of(seed)
    outcomes: list[Outcome] = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("", total=len(chosen))
        for each in chosen:
            progress.update(task, description=each.title)
            outcome = run(each, adapter, profile=profile, with_seed=seeded)
            outcomes.append(outcome)
            if outcome.verdict is Verdict.FAILED:
                _say(outcome.tell())
            progress.advance(task)
    lines = [line_of(outcome) for outcome in outcomes]
    sys.stdout.write(to_text(lines, console.width, color=console.is_terminal))
    for report in reports or ():
        try:
            write(report, lines)
        except OSError as error:
            raise typer.BadParameter(f"{report} cannot be written: {error.strerror}") from None
    if any(outcome.verdict is Verdict.FAILED for outcome in outcomes):
        raise typer.Exit(1)


@app.command()
def replay(
    history: Annotated[Path, typer.Argument(metavar="HISTORY.JSON")], address: Address
) -> None:
    """Play one history again, step by step. The exit code is 1 where its property does not hold."""
    told = _read(history)
    (tried,) = _chosen([told.property])
    adapter = adapter_at(address)
    if lacking := sorted(adapter.lacks(tried.needs)):
        raise typer.BadParameter(
            f"{tried.title} needs {', '.join(lacking)}, which {adapter.name} does not claim"
        )
    _say(f"{tried.title} on {adapter.name}\npromised: {tried.promise}")
    try:
        play_again(tried, adapter, told, _say)
    except Exception as error:  # noqa: BLE001  (whatever it is, the property does not hold)
        console.print(Text(f"does not hold: {seen(error)}", "red"), soft_wrap=True)
        raise typer.Exit(1) from None
    console.print(Text("holds", "green"))


def as_markdown() -> str:
    """The table of all properties, for documentation."""
    rows = [
        f"| {each.number} | {each.name} | {each.promise} | {', '.join(sorted(each.needs))} |"
        for each in PROPERTIES
    ]
    return "\n".join(["| | property | promise | needs |", "|---|---|---|---|", *rows, ""])


def adapter_at(address: str) -> Adapter:
    """The adapter at "module:name". Raises BadParameter where there is none."""
    module_name, _, name = address.partition(":")
    if not module_name or not name:
        raise typer.BadParameter(f"{address!r} is no MODULE:ADAPTER, such as my_module:adapter")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # noqa: BLE001  (whatever a module of the author's may raise)
        raise typer.BadParameter(
            f"the module {module_name!r} cannot be imported from here: {seen(error)}"
        ) from None
    found = getattr(module, name, None)
    if found is None:
        raise typer.BadParameter(f"the module {module_name!r} has no {name!r}")
    if callable(found):
        try:
            found = found()
        except Exception as error:  # noqa: BLE001
            raise typer.BadParameter(f"{address} gives no Adapter: {seen(error)}") from None
    if not isinstance(found, Adapter):
        raise typer.BadParameter(
            f"{address} is of the type {type(found).__name__}, and no spry_conformance.Adapter"
        )
    return found


def _say(text: str) -> None:
    """Print a text in its own lines: one of them may be a history, to be copied."""
    console.print(text, markup=False, soft_wrap=True)


def _chosen(numbers: list[str] | None) -> list[Property]:
    if not numbers:
        return list(PROPERTIES)
    of = {name: each for each in PROPERTIES for name in (each.number, each.name)}
    if unknown := [number for number in numbers if number not in of]:
        raise typer.BadParameter(f"there is no property {unknown[0]!r}; see `list`")
    return [of[number] for number in numbers]


def _read(path: Path) -> History:
    try:
        return read_history(path)
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error.strerror}") from None
    except (spry.SpryError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path} holds no history of this kit: {error}") from None
