"""What a user's type checker says: nothing about right code, something about each wrong line."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MARK = re.compile(r"# E: (?P<text>.+)$")
Problems = list[tuple[int, str]]


def mypy(file: Path) -> Problems:
    """Line and message of each error that mypy --strict finds."""
    command = ["-m", "mypy", "--strict", "--output", "json", str(file.relative_to(ROOT))]
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    errors = [json.loads(line) for line in done.stdout.splitlines()]
    return [
        (error["line"], f"{error['message']} [{error['code']}]")
        for error in errors
        if error["severity"] == "error"
    ]


def basedpyright(file: Path) -> Problems:
    """Line and message of each error that basedpyright finds in its strict mode."""
    command = ["-m", "basedpyright", "--outputjson", "--project", str(ROOT), str(file)]
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return [
        (found["range"]["start"]["line"] + 1, f"{found['message']} [{found.get('rule')}]")
        for found in json.loads(done.stdout)["generalDiagnostics"]
        if found["severity"] == "error"
    ]


@pytest.mark.parametrize("checker", [mypy, basedpyright])
def test_right_code_passes(checker: Callable[[Path], Problems]) -> None:
    assert checker(HERE / "api.py") == []


@pytest.mark.parametrize("checker", [mypy, basedpyright])
def test_each_wrong_line_is_found(checker: Callable[[Path], Problems]) -> None:
    file = HERE / "wrong.py"
    marks = {
        number: found["text"]
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if (found := MARK.search(line))
    }

    problems = checker(file)

    assert sorted({line for line, _ in problems}) == sorted(marks)
    if checker is mypy:
        missed = [(line, text) for line, text in problems if marks[line] not in text]
        assert missed == []
