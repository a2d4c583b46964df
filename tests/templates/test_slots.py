import itertools
import json
import random
from html import unescape

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from templates.graphemes import shortened
from templates.slots import (
    STOP_LINE,
    Charset,
    Filler,
    Person,
    Slot,
    fill,
    new_tag_prefix,
    place,
    slots_from_json,
    slots_to_json,
    tags_are_safe,
)
from tests.templates.samples import MARIA, PREFIX

TAGS = "{%:.}x7k2q9ab name html text account"
names = st.one_of(st.text(), st.text(alphabet=TAGS, max_size=30))
people = st.builds(
    Person,
    name=names,
    account=names,
    unsubscribe_url=st.one_of(names, st.just("https://status.example.com/u/a?b=1&c=%7B")),
    first_text=st.booleans(),
    time_zone=st.sampled_from(["UTC", "Europe/Berlin", "Mars/Olympus", "../etc/passwd", ""]),
)
MAIL = tuple(place(name, part, PREFIX) for part in ("html", "text") for name in ("name", "account"))
SLOTS = (
    *MAIL,
    place("unsubscribe", "html", PREFIX),
    place("stop", "text", PREFIX),
    place("local_time", "text", PREFIX, argument="2026-11-22T14:30:00+00:00"),
)


def value(slot: Slot, **person: str) -> str:
    return Filler([slot]).values(Person(**person))[slot.tag]  # type: ignore[arg-type] # texts only here


@given(person=people, pieces=st.lists(names, min_size=3, max_size=3), seed=st.integers())
def test_replacing_tags_in_any_order_equals_one_pass(
    person: Person, pieces: list[str], seed: int
) -> None:
    first, second = random.Random(seed).sample(SLOTS, 2)
    text = pieces[0] + first.tag + pieces[1] + second.tag + pieces[2]
    assume(tags_are_safe(text, SLOTS, PREFIX))
    values = Filler(SLOTS).values(person)
    for order in itertools.permutations((first, second)):
        replaced = text
        for slot in order:
            replaced = replaced.replace(slot.tag, values[slot.tag])
        assert replaced == fill(text, values)


@given(people)
def test_no_value_is_longer_than_its_slot_says_or_holds_a_brace(person: Person) -> None:
    values = Filler(SLOTS).values(person)
    for slot in SLOTS:
        assert len(unescape(values[slot.tag])) <= slot.max_length
        assert not {"{", "}", "\n", "\r"} & set(values[slot.tag])


@given(people)
def test_a_value_in_html_cannot_open_a_tag_or_leave_an_attribute(person: Person) -> None:
    values = Filler(SLOTS).values(person)
    for slot in SLOTS:
        if slot.part == "html":
            assert not {"<", ">", '"', "'"} & set(values[slot.tag])


@pytest.mark.parametrize("text", ["", "  ", "{{first_name}}", "a\nb", "a\x00b", "\u202eabc"])
def test_an_unfit_name_becomes_the_fallback(text: str) -> None:
    assert value(place("name", "text", PREFIX), name=text) == "there"
    assert value(place("account", "html", PREFIX), account=text) == "your account"


@pytest.mark.parametrize(
    ("name", "html"),
    [
        ("Maria", "Maria"),
        ("O'Neill & Söhne", "O&#x27;Neill &amp; Söhne"),
        ("<b>x</b>", "&lt;b&gt;x&lt;/b&gt;"),
        ("  Ana  ", "Ana"),
    ],
)
def test_a_name_is_escaped_in_html_and_only_there(name: str, html: str) -> None:
    assert value(place("name", "html", PREFIX), name=name) == html
    assert value(place("name", "text", PREFIX), name=name) == name.strip()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.example/u/1?x=1&y=2", "https://a.example/u/1?x=1&amp;y=2"),
        ("http://127.0.0.1:8080/u/1", "http://127.0.0.1:8080/u/1"),
        ("http://a.example/u/1", ""),
        ("javascript:alert(1)", ""),
        ('https://a.example/"onmouseover="x', ""),
        ("https://a.example/" + "x" * 500, ""),
    ],
)
def test_a_link_is_https_or_on_this_machine_or_left_out(url: str, expected: str) -> None:
    assert value(place("unsubscribe", "html", PREFIX), unsubscribe_url=url) == expected


def test_a_slot_in_a_text_message_holds_no_letter_that_doubles_its_price() -> None:
    slot = place("name", "text", PREFIX, Charset.GSM7)
    assert value(slot, name="José") == "José"
    assert value(slot, name="D\u2019Arcy") == "D'Arcy"
    assert value(slot, name="Łukasz") == "there"


def test_only_the_first_text_explains_how_to_stop() -> None:
    slot = place("stop", "text", PREFIX)
    values = [Filler([slot]).values(Person(first_text=first))[slot.tag] for first in (True, False)]
    assert values == [STOP_LINE, ""]


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("Europe/Berlin", " (15:30 in Berlin)"),
        ("America/Argentina/Buenos_Aires", " (11:30 in Buenos Aires)"),
        ("Pacific/Auckland", " (03:30 in Auckland on Mon 23 Nov)"),
        ("UTC", ""),
        ("Etc/GMT+5", ""),
        ("Mars/Olympus", ""),
    ],
)
def test_the_next_update_is_given_in_the_persons_own_time(zone: str, expected: str) -> None:
    slot = place("local_time", "text", PREFIX, argument="2026-11-22T14:30:00+00:00")
    assert value(slot, time_zone=zone) == expected


def test_a_time_beyond_the_calendar_of_the_reader_is_left_out() -> None:
    slot = place("local_time", "text", PREFIX, argument="9999-12-31T23:50:00+00:00")
    assert Filler([slot]).values(Person(time_zone="Pacific/Auckland")) == {slot.tag: ""}


def test_slots_survive_being_stored() -> None:
    stored = json.loads(json.dumps(slots_to_json(SLOTS)))
    assert slots_from_json(stored) == SLOTS
    assert Filler(slots_from_json(stored)).values(MARIA) == Filler(SLOTS).values(MARIA)


def test_a_tag_prefix_is_drawn_from_the_given_chance() -> None:
    drawn = [new_tag_prefix(random.Random(seed)) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == 8
    assert drawn[0].isalnum()


@pytest.mark.parametrize(
    "text",
    [
        f"see {PREFIX}",
        "{" + MAIL[0].tag,
        "{%" + MAIL[0].tag,
        "{%x7k2" + MAIL[0].tag,
        MAIL[0].tag + "{%x7k2q9ab:" + MAIL[1].tag,
    ],
)
def test_text_that_could_grow_into_a_tag_is_noticed(text: str) -> None:
    assert not tags_are_safe(text, SLOTS, PREFIX)


@pytest.mark.parametrize(
    ("text", "longest", "expected"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abcde…"),
        ("ab cdefg", 4, "ab…"),
        ("abcde\u0301f", 6, "abcd…"),
        ("abc👨\u200d👩\u200d👧d", 7, "abc…"),
        ("abc👍🏽d", 5, "abc…"),
        ("ab🇩🇪🇫🇷x", 6, "ab🇩🇪…"),
    ],
)
def test_shortening_never_cuts_what_a_reader_sees_as_one_character(
    text: str, longest: int, expected: str
) -> None:
    assert shortened(text, longest) == expected
