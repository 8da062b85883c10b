"""The command line, `spry`: reads options, turns errors into one line and an exit code.

Exit codes: 0 done, 1 the work failed, 2 the command cannot be carried out as it was given, 130
stopped by Ctrl-C.
"""

import importlib
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import sqlalchemy as sa
import typer
from rich.console import Console
from sqlalchemy.dialects import postgresql, sqlite

from spry_sqla.demo.play import FlightsUnreadable
from spry_sqla.demo.run import DatabaseUnusable, run
from spry_sqla.domain import Domain
from spry_sqla.errors import SpryError
from spry_sqla.schema import script

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """Event sourcing on SQLAlchemy."""


@app.command()
def demo(
    database: Annotated[
        str, typer.Option(metavar="URL", help="Where to store: SQLite or PostgreSQL.")
    ] = "sqlite:///flights.db",
    flights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Flights as CSV or CSV.gz; by default the day that comes with the package.",
        ),
    ] = None,
) -> None:
    """Play a real day: the 842 flights that were to leave New York on 2013-01-01.

    A second run stores nothing twice, and one that was stopped half-way goes on where it was.
    """
    try:
        agrees = run(database, flights, Console())
    except KeyboardInterrupt:
        _fail(130, "Stopped. All that was stored is whole; the same command goes on from here.")
    except (FlightsUnreadable, DatabaseUnusable) as error:
        _fail(2, str(error))
    except SpryError as error:
        _fail(1, str(error))
    except sa.exc.SQLAlchemyError as error:
        reason = getattr(error, "orig", None) or error
        _fail(1, f"the database cannot be used: {_first_line(reason)}")
    if not agrees:
        _fail(1, "The replayed actors do not agree with the file.")


class Dialect(StrEnum):
    """Whose SQL is printed."""

    postgresql = "postgresql"
    sqlite = "sqlite"


_DIALECTS = {Dialect.postgresql: postgresql.dialect, Dialect.sqlite: sqlite.dialect}


@app.command()
def schema(
    actor: Annotated[str, typer.Argument(help="The stored name of an actor, or its class's.")],
    domain: Annotated[
        str, typer.Option(metavar="MODULE:NAME", help="Where the Domain is: shop.model:domain")
    ],
    dialect: Annotated[Dialect, typer.Option(help="Whose SQL to print.")] = Dialect.postgresql,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write UTF-8 there, instead of printing.")
    ] = None,
) -> None:
    """Print the DDL of an actor: the shared tables, its own, with indexes, triggers, functions.

    It is safe to run again, and is what `domain.metadata.create_all` makes.
    """
    found = _imported(domain)
    # The stored name first: a class may have the name that another's tables bear.
    kinds = [kind for kind in found.actors if actor == kind.name]
    kinds += [kind for kind in found.actors if actor == kind.cls.__name__]
    if not kinds:
        known = ", ".join(kind.name for kind in found.actors) or "none at all"
        _fail(2, f"{domain} has no actor {actor!r}; it has {known}")
    text = script(found.shared, kinds[0].tables, _DIALECTS[dialect]())
    if output is None:
        _print(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        _fail(1, f"{output} cannot be written: {error.strerror}")


def _print(text: str) -> None:
    try:
        sys.stdout.write(text)
    except UnicodeEncodeError as error:
        character = error.object[error.start]
        _fail(
            1,
            f"the output is in {error.encoding}, which has no {character!r}; write a file with "
            "--output, or set PYTHONIOENCODING=utf-8",
        )


def _imported(path: str) -> Domain:
    module_name, _, name = path.partition(":")
    if not module_name or not name:
        _fail(2, f"--domain is {path!r}; give module and name, such as shop.model:domain")
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # noqa: BLE001  (whatever a module may raise)
        _fail(2, f"the module {module_name!r} cannot be imported: {_first_line(error)}")
    finally:
        sys.path.pop(0)
    found = getattr(module, name, None)
    if not isinstance(found, Domain):
        what = "nothing" if found is None else f"a {type(found).__name__}"
        _fail(2, f"{module_name} has {what} by the name of {name!r}; give it a spry_sqla.Domain")
    return found


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _fail(code: int, message: str) -> NoReturn:
    Console(stderr=True).print(message, highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(code)
