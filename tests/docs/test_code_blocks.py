"""Every Python block of the READMEs and the docs runs as it stands.

The blocks of a file run in order, in one namespace and in an empty folder; those of an example's
README in a copy of the example. A comment above a block says what it wants:

- `<!-- needs: postgres_url -->` gives it that fixture under its name,
- `<!-- file: shop.py -->` makes it a file of that name, `<!-- more of: shop.py -->` its next part,
- `<!-- run -->` runs a block of shell commands, `<!-- run: fails -->` one that must fail,
- `<!-- prints -->`, above a block of text, compares its lines with what was printed by those
  commands; at a line that is only `…` there may be others. Of what the conformance kit has drawn
  only the form is compared,
- `<!-- serve -->` starts a server by a command of uvicorn, for the blocks that follow; where they
  say 127.0.0.1:8000, they reach the port that it has.
"""

import ast
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import sqlalchemy as sa

from tests.examples.server import Server, environment

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
SHOP = "sqlite:///shop.db"
"""The database of the page on Alembic."""
USUAL_URL = "http://127.0.0.1:8000"
BLOCK = re.compile(
    r"(?:<!-- needs: (?P<needs>[\w, ]+) -->\n+)?"
    r"(?:<!-- (?P<part>file|more of): (?P<file>[\w.]+) -->\n+)?"
    r"^```python\n(?P<code>.*?)^```$"
    r"|<!-- (?P<how>run|run: fails|serve) -->\n+^```sh\n(?P<shell>.*?)^```$"
    r"(?:\n+<!-- prints -->\n+^```text\n(?P<prints>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
DRAWN = re.compile(r"(seen: |  +\d+\. ).*")


@dataclass(frozen=True)
class Block:
    """A block of code, and the fixtures that it needs."""

    line: int
    code: str
    needs: tuple[str, ...]
    file: str | None
    how: str | None
    """"file", "more of", or for commands of a shell "run", "run: fails", "serve"."""
    prints: str


LONG = pytest.mark.long
KIT = ("adapters.md", "conformance.md")
"""Pages that run the kit, over and over."""


def pages() -> list[Path]:
    readmes = [ROOT / "README.md", ROOT / "conformance/README.md"]
    return [*readmes, *sorted((ROOT / "docs").glob("**/*.md"))]


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for found in BLOCK.finditer(text):
        needs = tuple(name.strip() for name in (found["needs"] or "").split(",") if name.strip())
        kind = "code" if found["shell"] is None else "shell"
        line = text.count("\n", 0, found.start(kind)) + 1
        how = found["how"] or found["part"]
        yield Block(line, found[kind], needs, found["file"], how, found["prints"] or "")


def files_of(page: Path) -> dict[str, str]:
    """The files that a page makes, in full."""
    files: dict[str, str] = {}
    for block in blocks_of(page):
        if block.file is not None:
            before = files[block.file] if block.how == "more of" else ""
            files[block.file] = before + block.code
    return files


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=LONG if page.name in KIT or "conformance" in page.parts else ())
        for page in pages()
    ],
    ids=[str(page.relative_to(ROOT)) for page in pages()],
)
def test_of_the_blocks_of_a_page_in_order(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    play(page, tmp_path, monkeypatch, request)


def test_of_the_page_on_alembic_on_postgresql(
    postgres_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    page = ROOT / "docs" / "alembic.md"
    assert any(SHOP in block.code for block in blocks_of(page))

    play(page, tmp_path, monkeypatch, request, database=postgres_url)

    engine = sa.create_engine(postgres_url, poolclass=sa.NullPool)
    assert sa.inspect(engine).has_table("order_events")


def play(
    page: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    database: str = SHOP,
) -> None:
    """Run the blocks of a page in a folder, on a database that takes the place of the page's."""
    if page.is_relative_to(EXAMPLES):
        made = shutil.ignore_patterns("*.db*")  # by someone who did what the page says
        shutil.copytree(page.parent, folder, ignore=made, dirs_exist_ok=True)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    sys.path_importer_cache.pop(".", None)  # as in a new process, in this folder
    module = ModuleType(f"blocks_of_{page.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    names = vars(module)

    with ExitStack() as stack:
        url = USUAL_URL
        for block in blocks_of(page):
            names.update((need, request.getfixturevalue(need)) for need in block.needs)
            if block.how == "serve":
                url = stack.enter_context(serving(block.code, folder))
            elif block.how in {"run", "run: fails"}:
                _run(block, database)
            elif block.file is not None:
                with Path(block.file).open("a" if block.how == "more of" else "w") as file:
                    file.write(block.code.replace(SHOP, database))
            else:
                tree = ast.parse(block.code.replace(USUAL_URL, url), str(page))
                ast.increment_lineno(tree, block.line - 1)
                exec(compile(tree, str(page), "exec"), names)

    written = [name.removesuffix(".py") for name in files_of(page)]
    imported = [vars(sys.modules.pop(name)) for name in written if name in sys.modules]
    for variables in [names, *imported]:
        for value in variables.values():
            if isinstance(value, sa.Engine):
                value.dispose()


@contextmanager
def serving(command: str, folder: Path) -> Iterator[str]:
    """The URL of what a command starts; it takes a port that is free."""
    server = Server(shlex.split(command), folder, folder / "log", {})
    try:
        yield server.url()
    finally:
        server.stop()


def _run(block: Block, database: str) -> None:
    """As a user's shell does, in which the environment of this Python is active."""
    within = database.replace("%", "%%").replace("&", r"\&")  # for sed, and for alembic.ini
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.code.replace(SHOP, within)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    printed = done.stdout + done.stderr
    assert (done.returncode != 0) is (block.how == "run: fails"), printed
    lines = iter(map(_form, printed.splitlines()))
    adjacent = False
    for expected in map(_form, block.prints.splitlines()):
        if expected == "…":
            adjacent = False
            continue
        found = next(lines, None)
        while not adjacent and found not in {expected, None}:
            found = next(lines, None)
        assert found == expected, printed
        adjacent = True


def _form(line: str) -> str:
    return DRAWN.sub(r"\1", line)


def test_the_first_example_of_the_readme_is_among_them() -> None:
    first = next(blocks_of(ROOT / "README.md"))

    assert 'assert players.get(name="Bob") is None' in first.code
