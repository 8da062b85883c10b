"""The demo as a user runs it: its own process, a real file of flights, a real database."""

import csv
import gzip
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager, nullcontext
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool
from typer.testing import CliRunner

from spry_sqla.cli import app
from spry_sqla.demo import flights

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
DAY = Path(str(resources.files("spry_sqla.demo") / "flights-2013-01-01.csv"))

# --- Running it -----------------------------------------------------------------------------------


def command(*options: str | Path) -> list[str]:
    return [sys.executable, "-m", "spry_sqla", "demo", *map(str, options)]


def environment() -> dict[str, str]:
    """The code of this checkout, whatever is installed."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def demo(folder: Path, *options: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*options),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )


def refused(folder: Path, *options: str | Path) -> tuple[int, str]:
    """What the command says of a mistake, asked in this process: one line, and nothing else."""
    with chdir(folder):
        said = CliRunner().invoke(app, ["demo", *map(str, options)])
    assert said.exit_code != 0
    assert said.stdout == ""
    (line,) = said.stderr.splitlines()
    return said.exit_code, line


def rows_of(output: str) -> dict[str, list[str]]:
    """The rows of the tables in an output, by what stands first in them."""
    rows = (line.strip("│┃ ").replace("┃", "│").split("│") for line in output.splitlines())
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows if len(row) > 1}


def file_of(folder: Path, rows: Sequence[dict[str, str]], name: str = "flights.csv") -> Path:
    """A file of flights with these rows."""
    file = folder / name
    with file.open("w", newline="") as text:
        writer = csv.DictWriter(text, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return file


def day() -> list[dict[str, str]]:
    with DAY.open(newline="") as text:
        return list(csv.DictReader(text))


@dataclass(frozen=True)
class Played:
    """A database on which the day was played once, and what the demo said."""

    url: str
    done: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def played(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Played]:
    folder = tmp_path_factory.mktemp("played")
    if request.param == "sqlite":
        database = nullcontext(f"sqlite:///{folder / 'test.db'}")
    else:
        database = request.getfixturevalue("postgres").database()
    with database as url:
        yield Played(url, demo(folder, "--database", url))


# --- What is stored -------------------------------------------------------------------------------


@contextmanager
def connected(url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        yield connection


def stored(url: str) -> dict[str, list[tuple[str, str]]]:
    """Type and content of every event, by table, in the order of their contents."""
    with connected(url) as connection:
        return {
            table: sorted(
                (kind, str(content))
                for kind, content in connection.execute(
                    sa.text(f"SELECT type, CAST(content AS text) FROM {table}")
                )
            )
            for table in ("flight_events", "aircraft_events")
        }


def departures(url: str) -> int:
    """How many flights have departed; 0 while there are no tables."""
    try:
        with connected(url) as connection:
            query = "SELECT count(*) FROM flight_events WHERE type = 'FlightDeparted'"
            return int(connection.scalar(sa.text(query)) or 0)
    except sa.exc.DBAPIError:
        return 0


def stop_half_way(folder: Path, url: str, how: signal.Signals) -> tuple[int, str]:
    """Start the demo, stop it when a part is stored; its exit code and what it said."""
    with subprocess.Popen(
        command("--database", url),
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # Started in the background, these tests would hand on that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    ) as process:
        deadline = time.monotonic() + 600
        while departures(url) < 100 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert process.poll() is None, "the demo was over before it could be stopped"
        process.send_signal(how)
        _, said = process.communicate(timeout=300)
        return process.returncode, said


# --- A whole run ----------------------------------------------------------------------------------


def test_figures_of_replayed_actors_agree_with_the_file(played: Played) -> None:
    assert (played.done.returncode, played.done.stderr) == (0, "")
    rows = rows_of(played.done.stdout)
    assert rows["flights scheduled"] == ["842", "842"]
    assert rows["cancelled"] == ["4", "4"]
    assert rows["departed"] == ["838", "838"]
    assert rows["departed, no arrival time"] == ["1", "1"]
    assert rows["mean departure delay, minutes"] == ["11.55", "11.55"]
    assert rows["aircraft seen"] == ["649", "649"]


def test_what_was_handled_stored_and_rejected(played: Played) -> None:
    rows = rows_of(played.done.stdout)

    assert rows["ScheduleFlight"] == ["842", "842", "0", "0"]
    assert rows["FlyLeg"] == ["838", "836", "0", "2"]
    assert rows["together"] == ["4,008", "4,006", "0", "2"]
    assert {table: len(events) for table, events in stored(played.url).items()} == {
        "flight_events": 842 + 838 + 837 + 4,
        "aircraft_events": 649 + 836,
    }


def test_a_rejection_says_which_rule_and_why(played: Played) -> None:
    assert (
        "Rejected: N713TW cannot have left for SFO as DL 31 JFK 2013-01-01 at 16:55: "
        "it left for LAX at 09:21 and cannot be back before 17:40"
    ) in played.done.stdout.splitlines()


def test_a_second_run_stores_nothing_twice_and_says_so(played: Played, tmp_path: Path) -> None:
    before = stored(played.url)

    done = demo(tmp_path, "--database", played.url)

    assert done.returncode == 0
    assert rows_of(done.stdout)["together"] == ["4,008", "0", "4,006", "2"]
    assert rows_of(done.stdout)["mean departure delay, minutes"] == ["11.55", "11.55"]
    assert stored(played.url) == before


def test_by_default_the_data_lies_in_a_file_of_the_current_folder(tmp_path: Path) -> None:
    done = demo(tmp_path, "--flights", file_of(tmp_path, day()[:10]))

    assert done.returncode == 0
    assert "The data lies in flights.db; look at it:" in done.stdout.splitlines()
    (look,) = [line for line in done.stdout.splitlines() if line.startswith("  sqlite3 flights.db")]
    with connected(f"sqlite:///{tmp_path / 'flights.db'}") as connection:
        assert len(connection.execute(sa.text(look.split('"')[1])).all()) == 5
        assert connection.scalar(sa.text("PRAGMA journal_mode")) == "wal"


def test_a_compressed_file(tmp_path: Path) -> None:
    file = tmp_path / "day.csv.gz"
    file.write_bytes(gzip.compress(file_of(tmp_path, day()[:10]).read_bytes()))

    done = demo(tmp_path, "--flights", file)

    assert done.returncode == 0
    assert rows_of(done.stdout)["flights scheduled"] == ["10", "10"]


def test_a_file_that_says_something_else_of_a_flight_than_what_was_played(tmp_path: Path) -> None:
    rows = day()[:10]
    demo(tmp_path, "--flights", file_of(tmp_path, rows))
    later = {**rows[3], "dep_time": "644", "dep_delay": "59"}

    done = demo(tmp_path, "--flights", file_of(tmp_path, [*rows[:3], later, *rows[4:]]))

    assert done.returncode == 1
    assert "B6 725 JFK 2013-01-01 depart: another file said something else" in done.stdout
    assert rows_of(done.stdout)["DepartFlight"] == ["10", "0", "9", "1"]
    assert rows_of(done.stdout)["departed"] == ["10", "10"]
    assert "do not agree with the file" in done.stderr


# --- Stopped half-way -----------------------------------------------------------------------------


def test_killed_half_way_it_goes_on_where_it_was(tmp_path: Path, database_url: str) -> None:
    code, _ = stop_half_way(tmp_path, database_url, signal.SIGKILL)
    assert code == -signal.SIGKILL
    there = departures(database_url)

    done = demo(tmp_path, "--database", database_url)

    assert done.returncode == 0
    rows = rows_of(done.stdout)
    assert rows["flights scheduled"] == ["842", "842"]
    assert rows["DepartFlight"] == ["838", f"{838 - there}", f"{there}", "0"]
    straight = f"sqlite:///{tmp_path / 'straight.db'}"
    demo(tmp_path, "--database", straight)
    assert stored(database_url) == stored(straight)


def test_stopped_by_ctrl_c_it_says_how_to_go_on_and_does(tmp_path: Path, sqlite_url: str) -> None:
    code, said = stop_half_way(tmp_path, sqlite_url, signal.SIGINT)

    assert code == 130
    assert said.splitlines() == [
        "Stopped. All that was stored is whole; the same command goes on from here."
    ]
    there = departures(sqlite_url)
    done = demo(tmp_path, "--database", sqlite_url)
    assert done.returncode == 0
    assert rows_of(done.stdout)["DepartFlight"][1:3] == [f"{838 - there}", f"{there}"]


# --- What cannot be done --------------------------------------------------------------------------


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    done = demo(tmp_path, "--flights", "nowhere.csv")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "cannot read nowhere.csv: No such file or directory\n"
    assert not (tmp_path / "flights.db").exists()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (b"year,month,day\n2013,1,1\n", "lacks the columns carrier, flight"),
        (b"", "lacks the columns"),
        (DAY.read_bytes().splitlines()[0], "holds no flights"),
        (DAY.read_bytes()[:980], "line 15"),
        (DAY.read_bytes().replace(b"EWR,IAH,N14228,515", b"EWR,IAH,N14228,?"), "line 2"),
        (DAY.read_bytes().replace(b"N14228,515,517", b"N14228,515,518"), "line 2"),
        (gzip.compress(DAY.read_bytes()), "cannot read"),
    ],
)
def test_a_file_of_another_form(tmp_path: Path, text: bytes, part: str) -> None:
    file = tmp_path / "flights.csv"
    file.write_bytes(text)

    code, line = refused(tmp_path, "--flights", file)

    assert code == 2
    assert part in line
    assert not (tmp_path / "flights.db").exists()


def test_a_compressed_file_that_is_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "flights.csv.gz"
    file.write_bytes(gzip.compress(DAY.read_bytes())[:5000])

    code, line = refused(tmp_path, "--flights", file)

    assert code == 2
    assert "cannot read" in line


@pytest.mark.parametrize(
    ("url", "code", "part"),
    [
        ("nonsense", 2, "the URL of the database cannot be read"),
        ("postgresql://user:secret@host:port/name", 2, "the URL of the database cannot be read"),
        ("mysql://user:secret@host/name", 2, "does not run on mysql"),
        ("postgresql+pg8000://user:secret@host/name", 2, "is not installed"),
        ("postgresql+none://user:secret@host/name", 2, "there is no driver"),
        ("sqlite+aiosqlite:///flights.db", 2, "without asyncio"),
        ("sqlite:///no/such/folder/flights.db", 1, "unable to open database file"),
        ("postgresql+psycopg://user:secret@127.0.0.1:1/name", 1, "connection failed"),
    ],
)
def test_a_database_that_cannot_be_used(tmp_path: Path, url: str, code: int, part: str) -> None:
    given, line = refused(tmp_path, "--database", url)

    assert given == code
    assert part in line
    assert "secret" not in line


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "flights.db").write_text("Dear diary, " * 1000)

    code, line = refused(tmp_path)

    assert code == 1
    assert "not a database" in line


def test_tables_of_a_later_format(tmp_path: Path) -> None:
    demo(tmp_path, "--flights", file_of(tmp_path, day()[:1]))
    with connected(f"sqlite:///{tmp_path / 'flights.db'}") as connection:
        connection.execute(sa.insert(flights.domain.shared.format).values(version=99))
        connection.commit()

    code, line = refused(tmp_path)

    assert code == 1
    assert "format" in line
