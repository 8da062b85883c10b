"""What a user's type checker says: nothing about right code, something about each wrong line."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MARK = re.compile(r"# E: (?P<text>.+)$")
Problems: TypeAlias = list[tuple[int, str]]
Checker: TypeAlias = Callable[[Path, Path], Problems]


def mypy(file: Path, _: Path) -> Problems:
    """Line and message of each error that mypy --strict finds."""
    done = run(["-m", "mypy", "--strict", "--output", "json", str(file.relative_to(ROOT))])
    errors = [json.loads(line) for line in done.splitlines() if line.startswith("{")]
    return [
        (error["line"], f"{error['message']} [{error['code']}]")
        for error in errors
        if error["severity"] == "error"
    ]


def basedpyright(file: Path, folder: Path) -> Problems:
    """Line and message of each error that basedpyright finds, in pyright's strict mode."""
    settings = {"include": [str(file)], "extraPaths": [str(ROOT)], "typeCheckingMode": "strict"}
    project = folder / "pyrightconfig.json"
    project.write_text(json.dumps(settings))
    command = ["-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable]
    done = run([*command, "--project", str(project)])
    return [
        (found["range"]["start"]["line"] + 1, f"{found['message']} [{found.get('rule')}]")
        for found in json.loads(done)["generalDiagnostics"]
        if found["severity"] == "error"
    ]


def run(arguments: list[str]) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("checker", [mypy, basedpyright])
def test_right_code_passes(checker: Checker, tmp_path: Path) -> None:
    assert checker(HERE / "api.py", tmp_path) == []


@pytest.mark.parametrize("checker", [mypy, basedpyright])
def test_each_wrong_line_is_found(checker: Checker, tmp_path: Path) -> None:
    file = HERE / "wrong.py"
    marks = {
        number: found["text"]
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if (found := MARK.search(line))
    }

    problems = checker(file, tmp_path)

    assert sorted({line for line, _ in problems}) == sorted(marks)
    if checker is mypy:
        assert [(line, text) for line, text in problems if marks[line] not in text] == []
