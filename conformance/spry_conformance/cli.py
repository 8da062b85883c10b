"""The command line: `spry-conformance list`, `run` and `replay`."""

import importlib
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

import spry_sqla as spry
from spry_conformance.adapter import Adapter
from spry_conformance.history import History, read_history
from spry_conformance.properties import PROPERTIES, Property
from spry_conformance.report import checked, line_of, to_text, write
from spry_conformance.runner import PROFILES, Outcome, Verdict, play, run, seen

app = typer.Typer(
    help="Tries whether a storage adapter of spry_sqla keeps its promises.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
console = Console(highlight=False)

Address = Annotated[
    str, typer.Argument(metavar="MODULE:ADAPTER", help="an Adapter, or a function that gives one")
]


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
        list[str] | None, typer.Option("--property", help="try this one, such as P07; repeatable")
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
    outcomes: list[Outcome] = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("", total=len(chosen))
        for each in chosen:
            progress.update(task, description=each.title)
            outcome = run(each, adapter, profile=profile, with_seed=seed)
            outcomes.append(outcome)
            if outcome.verdict is Verdict.FAILED:
                console.print(outcome.tell(), markup=False)
            progress.advance(task)
    lines = [line_of(outcome) for outcome in outcomes]
    sys.stdout.write(to_text(lines, console.width, color=console.is_terminal))
    for report in reports or ():
        write(report, lines)
    if any(outcome.verdict is Verdict.FAILED for outcome in outcomes):
        raise typer.Exit(1)


@app.command()
def replay(
    history: Annotated[Path, typer.Argument(metavar="HISTORY.JSON")], address: Address
) -> None:
    """Play one history again. The exit code is 1 where its property does not hold."""
    told = _read(history)
    (tried,) = _chosen([told.property])
    adapter = adapter_at(address)
    console.print(f"{tried.title}: {tried.promise}\n{told}", markup=False)
    try:
        play(tried, adapter, told)
    except Exception as error:  # noqa: BLE001  (whatever it is, the property does not hold)
        console.print(f"does not hold: {seen(error)}", markup=False, style="red")
        raise typer.Exit(1) from None
    console.print("holds", style="green")


def as_markdown() -> str:
    """The table of all properties, for documentation."""
    rows = [
        f"| {each.number} | {each.name} | {each.promise} | {', '.join(sorted(each.needs))} |"
        for each in PROPERTIES
    ]
    return "\n".join(["| | property | promise | needs |", "|---|---|---|---|", *rows, ""])


def adapter_at(address: str) -> Adapter:
    """The adapter at "module:name". Raises BadParameter where there is none."""
    module, _, name = address.partition(":")
    if not module or not name:
        raise typer.BadParameter(f"{address!r} is no MODULE:ADAPTER, such as my_module:adapter")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name is not None and not f"{module}.".startswith(f"{error.name}."):
            raise  # what is there wants something that is not
        raise typer.BadParameter(f"there is no module {module!r}, from here") from None
    except AttributeError:
        raise typer.BadParameter(f"the module {module!r} has no {name!r}") from None
    if callable(found) and not isinstance(found, Adapter):
        found = found()
    if not isinstance(found, Adapter):
        raise typer.BadParameter(
            f"{address} is {type(found).__name__}, and no spry_conformance.Adapter"
        )
    return found


def _chosen(numbers: list[str] | None) -> list[Property]:
    if not numbers:
        return list(PROPERTIES)
    of = {each.number: each for each in PROPERTIES}
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
