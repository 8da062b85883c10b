"""The tables of properties and capabilities in the docs are what the kit has."""

from tests.docs.properties import PAGE, brought_up_to_date


def test_the_tables_are_up_to_date() -> None:
    page = PAGE.read_text("utf-8")

    assert page == brought_up_to_date(page), "write them anew: python -m tests.docs.properties"
