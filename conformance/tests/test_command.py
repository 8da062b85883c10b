"""`spry-conformance`: what its commands print, write and exit with."""

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from spry_conformance import PROPERTIES
from spry_conformance.cli import app
from spry_conformance.history import known_histories

MODULE = """
from mutants import MUTANTS, in_memory

right = in_memory(name="right")
(wrong, *_) = (each.make() for each in MUTANTS if each.property == "P01")
plain = in_memory(name="plain", capabilities=())
number = 7

def made():
    return right

def breaks():
    raise OSError("no disk")
"""


@pytest.fixture(autouse=True)
def author(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An author's folder, with a module `mine`."""
    (tmp_path / "mine.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    yield
    for name in ("mine", "broken"):
        sys.modules.pop(name, None)


def command(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "80", "CI": ""})
    assert result.exit_code == code, result.output
    return result


def said(result: Result) -> str:
    """What was said of wrong use, without the frame around it."""
    return " ".join(result.stderr.replace("│", " ").split())


def quickly(address: str, *options: str, code: int = 0) -> Result:
    return command("run", address, "--profile", "quick", *options, code=code)


def test_the_list_has_every_property() -> None:
    printed = command("list").stdout

    assert all(each.number in printed for each in PROPERTIES)
    rows = command("list", "--markdown").stdout.splitlines()
    assert [row.split(" | ")[0] for row in rows[2:]] == [f"| {each.number}" for each in PROPERTIES]


@pytest.mark.parametrize("address", ["mine:right", "mine:made"])
def test_an_adapter_that_is_right_passes(address: str) -> None:
    printed = quickly(address, "--property", "P01", "--property", "P11", "--seed", "3").stdout

    assert "conformance of right" in printed
    assert "2 passed, 0 failed, 0 not claimed; seed 3" in printed


def test_what_is_not_claimed_is_not_called_passed() -> None:
    needing = next(each for each in PROPERTIES if each.needs)

    printed = quickly("mine:plain", "--property", needing.name).stdout

    assert f"not claimed ({', '.join(sorted(needing.needs))})" in printed
    assert "0 passed, 0 failed, 1 not claimed" in printed


def test_a_failure_is_told_kept_and_played_again(tmp_path: Path) -> None:
    options = ("--property", "P01", "--seed", "5", "--report", "found.json", "--report", "a.html")

    printed = quickly("mine:wrong", *options, code=1).stdout

    assert "P01 events-keep-their-order does not hold" in printed
    assert "the smallest history that shows it:" in printed
    report = msgspec.json.decode((tmp_path / "found.json").read_bytes())
    (line,) = report["results"]
    assert (line["number"], line["verdict"], line["seed"]) == ("P01", "failed", 5)
    assert line["steps"]
    assert line["seen"] in printed
    assert line["history"] in printed.splitlines()
    (tmp_path / "history.json").write_text(line["history"])

    again = command("replay", "history.json", "mine:wrong", code=1).stdout
    assert f"does not hold: {line['seen']}" in again.splitlines()
    assert all(f"{n}. " in again for n in range(1, len(line["steps"]) + 1))
    assert command("replay", "history.json", "mine:right").stdout.endswith("holds\n")


def test_the_same_seed_finds_the_same_history(tmp_path: Path) -> None:
    found = []
    for name in ("one.json", "two.json"):
        quickly("mine:wrong", "--property", "P01", "--seed", "8", "--report", name, code=1)
        report = msgspec.json.decode((tmp_path / name).read_bytes())
        found.append(report["results"][0]["history"])

    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "mine:right", "--profile", "huge"], "no profile 'huge'"),
        (["run", "mine:right", "--property", "P99"], "no property 'P99'"),
        (["run", "mine:right", "--report", "found.pdf"], "ends with .html or .json"),
        (["run", "mine"], "is no MODULE:ADAPTER"),
        (["run", "yours:right"], "'yours' cannot be imported"),
        (["run", "broken:right"], "nothing_of_that_name"),
        (["run", "mine:left"], "has no 'left'"),
        (["run", "mine:number"], "of the type int"),
        (["run", "mine:breaks"], "OSError: no disk"),
        (["replay", "none.json", "mine:right"], "cannot be read: No such file"),
        (["replay", "mine.py", "mine:right"], "holds no history of this kit"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_cannot_be_carried_out_is_said(arguments: list[str], told: str) -> None:
    result = command(*arguments, code=2)

    assert told in said(result)


def test_a_history_is_not_played_where_it_is_not_claimed(tmp_path: Path) -> None:
    known = known_histories()
    needing = next(each for each in PROPERTIES if each.needs and each.number in known)
    (tmp_path / "history.json").write_text(known[needing.number][0].to_json())

    result = command("replay", "history.json", "mine:plain", code=2)

    assert "which plain does not claim" in said(result)
