"""Reports: the same lines for the terminal, as JSON, and as a page."""

from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mutants import MUTANTS, in_memory
from spry_conformance import PROPERTIES, Outcome, Property, run
from spry_conformance.history import History, known_histories, read_history
from spry_conformance.report import Line, line_of, to_html, to_text, write

OF = {each.number: each for each in PROPERTIES}
WRONG = next(each for each in MUTANTS if each.property == "P01")


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    """One that passed, one that failed, one that was not claimed."""
    needing = next(each for each in PROPERTIES if each.needs)
    return [
        run(OF["P01"], in_memory(name="right"), profile="quick", with_seed=1),
        run(OF["P01"], WRONG.make(), profile="quick", with_seed=1),
        run(needing, in_memory(name="right", capabilities=()), profile="quick"),
    ]


def test_a_report_says_what_was_found(outcomes: list[Outcome], tmp_path: Path) -> None:
    lines = [line_of(outcome) for outcome in outcomes]
    write(tmp_path / "report.json", lines)

    report = msgspec.json.decode((tmp_path / "report.json").read_bytes())

    assert set(report["with"]) == {"spry-conformance", "spry-sqla", "hypothesis"}
    assert msgspec.convert(report["results"], list[Line]) == lines
    assert [line.verdict for line in lines] == ["passed", "failed", "not claimed"]
    assert lines[0].tried > 1
    assert History.from_json(lines[1].history) == outcomes[1].history
    assert lines[2].lacking == tuple(sorted(outcomes[2].property.needs))


def test_a_table_counts_what_was_not_claimed_apart(outcomes: list[Outcome]) -> None:
    text = to_text([line_of(outcome) for outcome in outcomes], 150)

    assert "1 passed, 0 failed, 1 not claimed; seed 1" in text
    assert "0 passed, 1 failed, 0 not claimed; seed 1" in text
    assert f"seen: {outcomes[1].seen[:30]}" in text


class _Words(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.data: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.data.append(data)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)


@settings(deadline=None)
@given(text=st.text(st.characters(codec="utf-16", exclude_characters="\r")))
def test_a_page_shows_any_text_as_text(text: str) -> None:
    text = f"<script>alert('1')</script>&amp;{text}"
    failed = Line("P01", "x", text, text, "failed", 1, 0.1, 7, (), text, (text,), text, text)

    page = _Words(to_html([failed]))

    assert page.data.count(text) == 6
    assert not page.tags & {"script", "link", "img"}


def test_a_report_holds_what_utf8_cannot(tmp_path: Path) -> None:
    outcome = Outcome(OF["P01"], "mine", run(OF["P01"], WRONG.make()).verdict, seen="\ud800")

    for name in ("report.json", "report.html"):
        write(tmp_path / name, [line_of(outcome)])
        assert "ud800" in (tmp_path / name).read_text("utf-8")


def test_a_report_of_no_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ends with \.html or \.json, and report\.pdf does not"):
        write(tmp_path / "report.pdf", [])


# Histories --------------------------------------------------------------------------------------


@pytest.mark.parametrize("property", PROPERTIES, ids=lambda each: each.number)
def test_a_history_comes_back_as_it_was_written(property: Property, tmp_path: Path) -> None:
    @settings(max_examples=5, suppress_health_check=list(HealthCheck), deadline=None)
    @given(history=property.histories)
    def comes_back(history: History) -> None:
        path = tmp_path / "history.json"
        path.write_text(history.to_json(), "utf-8")
        assert read_history(path).to_json() == history.to_json()
        assert "\n" not in history.to_json()

    comes_back()


def test_the_known_histories_are_of_properties_that_there_are() -> None:
    known = known_histories()

    assert known
    assert known.keys() <= OF.keys()
    assert all(history.steps for of in known.values() for history in of)
