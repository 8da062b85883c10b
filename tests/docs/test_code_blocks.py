"""Every Python block of the README and the docs runs as it stands.

The blocks of a file run in order, in one namespace and in an empty folder. A comment above a block
says what it wants: `<!-- needs: postgres_url -->` gives it that fixture under its name.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import sqlalchemy as sa

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(
    r"(?:<!-- needs: (?P<needs>[\w, ]+) -->\n+)?^```python\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A block of code, and the fixtures that it needs."""

    line: int
    code: str
    needs: tuple[str, ...]


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for found in BLOCK.finditer(text):
        needs = tuple(name.strip() for name in (found["needs"] or "").split(",") if name.strip())
        yield Block(text[: found.start("code")].count("\n") + 1, found["code"], needs)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_of_the_blocks_of_a_page_in_order(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.chdir(tmp_path)
    module = ModuleType(f"blocks_of_{page.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    names = vars(module)

    for block in blocks_of(page):
        names.update((need, request.getfixturevalue(need)) for need in block.needs)
        tree = ast.parse(block.code, str(page))
        ast.increment_lineno(tree, block.line - 1)
        exec(compile(tree, str(page), "exec"), names)

    for value in names.values():
        if isinstance(value, sa.Engine):
            value.dispose()


def test_the_first_example_of_the_readme_is_among_them() -> None:
    first = next(blocks_of(ROOT / "README.md"))

    assert 'assert players.get(name="Bob") is None' in first.code
