"""docs/promises.md says of each fault which test shows it, and the tests say the same."""

import re
from pathlib import Path

from tests.faults import SHORT_FORM, by_fault

PAGE = Path(__file__).resolve().parents[2] / "docs" / "promises.md"
ROW = re.compile(r"^\| (\d+) \|.*\| (`tests/\S+`) \|$", re.MULTILINE)


def shown_by() -> dict[int, list[str]]:
    """Of each row of the table, its tests."""
    rows = ROW.findall(PAGE.read_text("utf-8"))
    assert len({number for number, _ in rows}) == len(rows)
    return {int(number): re.findall(r"`([^`]+)`", tests) for number, tests in rows}


def test_every_fault_of_the_short_form_is_on_the_page() -> None:
    assert SHORT_FORM - shown_by().keys() == set()


def test_every_test_on_the_page_is_there_and_carries_the_number() -> None:
    marked = by_fault()
    missing = [
        (number, test)
        for number, tests in shown_by().items()
        for test in tests
        if test not in marked.get(number, ())
    ]
    assert missing == []


def test_every_fault_that_a_test_carries_is_on_the_page() -> None:
    assert by_fault().keys() - shown_by().keys() == set()
