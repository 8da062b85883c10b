"""The package as it is installed: a wheel, in an environment that holds nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]


def run(folder: Path, *command: str | Path) -> str:
    done = subprocess.run(
        [*map(str, command)], cwd=folder, capture_output=True, text=True, timeout=1200, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment(folder: Path) -> Path:
    """The Python of a new, empty environment."""
    run(folder.parent, sys.executable, "-m", "venv", folder)
    return folder / "bin" / "python"


def test_a_wheel_in_an_empty_environment_runs_the_demo(tmp_path: Path) -> None:
    python = environment(tmp_path / "empty")
    run(tmp_path, python, "-m", "pip", "wheel", "-q", "--no-deps", "-w", "dist", ROOT)
    (wheel,) = (tmp_path / "dist").glob("spry_sqla-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"spry_sqla/py.typed", "spry_sqla/demo/flights-2013-01-01.csv"} <= names
    assert {name.partition("/")[0] for name in names} == {
        "spry_sqla",
        "spry_sqla-0.1.0.dist-info",
    }

    run(tmp_path, python, "-m", "pip", "install", "-q", wheel)
    shown = run(tmp_path, python, "-m", "spry_sqla", "demo")

    assert "842" in shown
    assert "11.55" in shown
    assert "The data lies in flights.db" in shown
    assert "spry" in run(tmp_path, tmp_path / "empty" / "bin" / "spry", "--help")
