"""The command line, `spry`: reads options, turns errors into one line and an exit code.

Exit codes: 0 done, 1 the work failed, 2 the command cannot be carried out as it was given, 130
stopped by Ctrl-C.
"""

from pathlib import Path
from typing import Annotated, NoReturn

import sqlalchemy as sa
import typer
from rich.console import Console

from spry_sqla.demo.play import FlightsUnreadable
from spry_sqla.demo.run import DatabaseUnusable, run
from spry_sqla.errors import SpryError

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


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _fail(code: int, message: str) -> NoReturn:
    Console(stderr=True).print(message, highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(code)
