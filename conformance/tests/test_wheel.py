"""The kit as it is installed: wheels, in an environment that holds nothing else."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from spry_conformance import PROPERTIES

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
KIT = ROOT / "conformance"
NOT_CLAIMED = [each for each in PROPERTIES if each.needs][:1]

TEN_LINES = """
import pytest
from spry_conformance import Adapter, Conformance
from spry_sqla.adapters import AdapterStorage, MemoryAdapter

class TestMine(Conformance):
    @pytest.fixture
    def adapter(self):
        data = [MemoryAdapter()]
        return Adapter(
            open=lambda domain, origin: AdapterStorage(data[0], domain, origin=origin),
            reset=lambda: data.__setitem__(0, MemoryAdapter()),
        )
"""


def run(folder: Path, *command: str | Path) -> str:
    done = subprocess.run(
        [*map(str, command)], cwd=folder, capture_output=True, text=True, timeout=1200, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(params=["3.12", "3.13"])
def other_python(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """As `python`, of another version, where that is at hand."""
    found = shutil.which(f"python{request.param}")
    # What is found may be a stand-in of a version manager, for one that is not chosen.
    if found is None or subprocess.run([found, "-c", ""], check=False).returncode:
        pytest.skip(f"there is no Python {request.param} at hand")
    return environment(tmp_path, found)


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The Python of a new environment, with wheels of the library and the kit beside it."""
    return environment(tmp_path, sys.executable)


def environment(tmp_path: Path, interpreter: str) -> Path:
    made = tmp_path / "empty" / "bin" / "python"
    run(tmp_path, interpreter, "-m", "venv", tmp_path / "empty")
    run(tmp_path, made, "-m", "pip", "wheel", "-q", "--no-deps", "-w", "dist", ROOT, KIT)
    return made


@pytest.mark.parametrize(
    ("plugins", "options"),
    [
        pytest.param([], [], id="alone"),
        pytest.param(["pytest-xdist"], ["-n", "2"], id="xdist"),
        pytest.param(
            ["pytest-asyncio", "anyio"],
            # Older ones want to be told the scope, and warn where they are not.
            ["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"],
            id="asyncio",
        ),
    ],
)
def test_wheels_in_an_empty_project_try_an_adapter(
    tmp_path: Path, python: Path, plugins: list[str], options: list[str]
) -> None:
    (kit,) = (tmp_path / "dist").glob("spry_conformance-*.whl")
    with zipfile.ZipFile(kit) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = KIT / "spry_conformance"
    assert packed == {
        str(path.relative_to(KIT))
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "spry_conformance/py.typed" in packed

    try_an_adapter(tmp_path, python, plugins, options)


def test_they_do_with_another_python(tmp_path: Path, other_python: Path) -> None:
    try_an_adapter(tmp_path, other_python, [], [])


def try_an_adapter(tmp_path: Path, python: Path, plugins: list[str], options: list[str]) -> None:
    wheels = (tmp_path / "dist").glob("*.whl")
    run(tmp_path, python, "-m", "pip", "install", "-q", *wheels, *plugins)
    project = tmp_path / "project"
    project.mkdir()
    (project / "test_mine.py").write_text(TEN_LINES)
    tried = " or ".join(["P01", *(each.number for each in NOT_CLAIMED)])
    quick = ("-k", tried, "--conformance-profile=quick")
    said = run(project, python, "-W", "error", "-m", "pytest", "-rs", *quick, *options)

    assert f"1 passed{', 1 skipped' * len(NOT_CLAIMED)}" in said
    assert all("not claimed" in said for _ in NOT_CLAIMED)
