"""The tables of the kit's properties and capabilities, which docs/conformance.md shows.

Run as a module it writes them anew: `python -m tests.docs.properties`
"""

from pathlib import Path

from spry_conformance import CAPABILITIES
from spry_conformance.cli import as_markdown

PAGE = Path(__file__).parents[2] / "docs/conformance.md"


def capabilities() -> str:
    """A row for each capability: what who claims it claims."""
    rows = [f"| `{name}` | {meaning} |" for name, meaning in sorted(CAPABILITIES.items())]
    return "\n".join(["| capability | what it says |", "|---|---|", *rows])


def brought_up_to_date(page: str) -> str:
    """The page with the tables that it should have between its marks."""
    tables = {"properties": as_markdown().strip(), "capabilities": capabilities()}
    for name, table in tables.items():
        before, begin, rest = page.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- end of {name} -->\n")
        assert begin, f"{PAGE.name} has no table of {name}"
        assert end, f"the table of {name} in {PAGE.name} has no end"
        page = f"{before}{begin}\n{table}\n\n{end}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(brought_up_to_date(PAGE.read_text("utf-8")), "utf-8")
