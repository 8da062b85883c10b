"""What the guide to adapters builds is the example, where the two say the same thing."""

import ast
from pathlib import Path

from tests.docs.test_code_blocks import ROOT, files_of

SAME = {"Part", "Commands", "Events", "Maps", "Snapshots", "LmdbStores", "hashed", "stream"}


def definitions(code: str) -> dict[str, str]:
    """Each class and function by its name, the last of that name, without its comments."""
    kinds = (ast.ClassDef, ast.FunctionDef)
    return {
        each.name: ast.unparse(each) for each in ast.parse(code).body if isinstance(each, kinds)
    }


def test_the_stores_of_the_guide_are_those_of_the_example() -> None:
    guide = definitions(files_of(ROOT / "docs/adapters.md")["lmdb_stores.py"])
    example = definitions(Path(ROOT / "conformance/examples/lmdb_adapter.py").read_text())

    assert guide.keys() == SAME
    assert guide == {name: example[name] for name in SAME}
