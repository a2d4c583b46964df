from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from templates.facts import Facts, FactsPatch, Internal, changed, facts_hash, merge

NEXT = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)
FULL = {
    "title": "Some customers cannot pay by card",
    "impact": "Card payments fail.",
    "scope": {"who": "Shops", "regions": ["Europe"], "features": ["Checkout"]},
    "do_not": ["Do not retry."],
    "next_update_by": NEXT,
    "links": [{"label": "Help", "url": "https://help.example.com/"}],
}


def patch(**posted: object) -> FactsPatch:
    return FactsPatch.model_validate(posted)


def test_what_is_omitted_stays_as_it_was() -> None:
    before = merge(None, patch(**FULL))
    after = merge(before, patch(what_we_do="We are moving traffic."))
    assert changed(before, after) == {"what_we_do"}
    assert after.title == FULL["title"]


@pytest.mark.parametrize("name", Facts.model_fields)
def test_an_explicit_null_removes_any_fact(name: str) -> None:
    before = merge(None, patch(**FULL))
    after = merge(before, patch(**{name: None}))
    assert not getattr(after, name)
    assert changed(before, after) <= {name}


def test_a_first_update_counts_everything_it_says_as_new() -> None:
    assert changed(None, merge(None, patch(**FULL))) == set(FULL)


def test_a_revision_lists_what_keeps_it_a_draft() -> None:
    assert Facts().missing(resolved=False) == ["title", "impact", "next_update_by"]
    assert Facts().missing(resolved=True) == ["title", "impact"]
    assert merge(None, patch(**FULL)).missing(resolved=False) == []


@given(st.integers(-12 * 60, 14 * 60))
def test_the_hash_does_not_depend_on_the_zone_a_time_is_written_in(minutes: int) -> None:
    zone = timezone(timedelta(minutes=minutes))
    there = merge(None, patch(**(FULL | {"next_update_by": NEXT.astimezone(zone)})))
    assert facts_hash(there) == facts_hash(merge(None, patch(**FULL)))


@pytest.mark.parametrize("name", FULL)
def test_the_hash_changes_with_every_fact(name: str) -> None:
    before = merge(None, patch(**FULL))
    assert facts_hash(before) != facts_hash(merge(before, patch(**{name: None})))


@pytest.mark.parametrize(
    ("posted", "where", "said"),
    [
        ({"title": "x" * 256}, "title", "at most 255"),
        ({"title": "one\ntwo"}, "title", "line breaks are not allowed"),
        ({"title": "one\u2028two"}, "title", "line breaks are not allowed"),
        ({"title": "one\rtwo"}, "title", "line breaks are not allowed"),
        ({"title": "bell\x07"}, "title", "U+0007 at position 5"),
        ({"title": "  "}, "title", "at least 1 character"),
        ({"impact": "one\r\ntwo"}, "impact", "U+000D"),
        ({"impact": "turned \u202e round"}, "impact", "U+202E"),
        ({"impact": "one\x02two"}, "impact", "U+0002"),
        ({"impact": "x" * 1001}, "impact", "at most 1000"),
        ({"titel": "x"}, "titel", "Extra inputs are not permitted"),
        ({"title": 7}, "title", "valid string"),
        ({"next_update_by": "2026-11-22T14:30:00"}, "next_update_by", "timezone"),
        ({"workaround": {"steps": []}}, "workaround.steps", "at least 1 item"),
        ({"links": [{"label": "x", "url": "http://a.example"}]}, "links.0.url", "https"),
        ({"links": [{"label": "x", "url": "javascript:alert(1)"}]}, "links.0.url", "https"),
        ({"links": [{"label": "x", "url": 'https://a.example/"x'}]}, "links.0.url", "https"),
        ({"links": [{"label": "x", "url": "https://a:b@a.example/"}]}, "links.0.url", "cred"),
        ({"links": [{"label": "x", "url": "https:///path"}]}, "links.0.url", "host"),
        (
            {"eta": {"earliest": "2026-11-22T15:00Z", "latest": "2026-11-22T15:00Z"}},
            "eta",
            "must be after",
        ),
    ],
)
def test_bad_facts_are_refused_by_name(posted: dict[str, object], where: str, said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        FactsPatch.model_validate(posted)
    (error,) = refused.value.errors()
    assert ".".join(map(str, error["loc"])) == where
    assert said in error["msg"]


def test_line_breaks_are_welcome_in_a_paragraph() -> None:
    assert patch(impact="one\ntwo").impact == "one\ntwo"


def test_internal_facts_are_plain_text_too() -> None:
    with pytest.raises(ValidationError, match=r"U\+0000"):
        Internal.model_validate({"cause": "a\x00b"})
