"""What a user's type checker says: nothing about right code, something about each wrong line."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

ROOT = Path(__file__).parents[2]
RIGHT, WRONG = Path("tests/typing/api.py"), Path("tests/typing/wrong.py")
MARK = re.compile(r"# E: (?P<text>.+)$")
Problems: TypeAlias = list[tuple[Path, int, str]]
"""File, line and message of each error."""
Checker: TypeAlias = Callable[[Path], Problems]


def mypy(_: Path) -> Problems:
    """What mypy --strict finds."""
    done = run(["-m", "mypy", "--strict", "--output", "json", str(RIGHT), str(WRONG)])
    errors = [json.loads(line) for line in done.splitlines() if line.startswith("{")]
    return [
        (Path(error["file"]), error["line"], f"{error['message']} [{error['code']}]")
        for error in errors
        if error["severity"] == "error"
    ]


def basedpyright(folder: Path) -> Problems:
    """What basedpyright finds, in pyright's strict mode."""
    files = [str(ROOT / RIGHT), str(ROOT / WRONG)]
    settings = {"include": files, "extraPaths": [str(ROOT)], "typeCheckingMode": "strict"}
    project = folder / "pyrightconfig.json"
    project.write_text(json.dumps(settings))
    command = ["-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable]
    done = run([*command, "--project", str(project)])
    return [
        (
            Path(found["file"]).relative_to(ROOT),
            found["range"]["start"]["line"] + 1,
            f"{found['message']} [{found.get('rule')}]",
        )
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
def test_right_code_passes_and_each_wrong_line_is_found(checker: Checker, tmp_path: Path) -> None:
    marks = {
        number: found["text"]
        for number, line in enumerate((ROOT / WRONG).read_text().splitlines(), 1)
        if (found := MARK.search(line))
    }

    problems = checker(tmp_path)

    assert [problem for problem in problems if problem[0] != WRONG] == []
    assert sorted({line for _, line, _ in problems}) == sorted(marks)
    if checker is mypy:
        assert [(line, text) for _, line, text in problems if marks[line] not in text] == []
