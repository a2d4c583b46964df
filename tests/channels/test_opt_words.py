"""What people text back, and what we read in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.opt_words import Wish, wish


@pytest.mark.parametrize(
    "text",
    [
        "STOP",
        "stop",
        " Stop. ",
        "STOP!!!",
        "S T O P",
        "s.t.o.p",
        "STOP PLEASE",
        "please stop",
        "stop this now",
        "Stop bothering me today",
        "STOPALL",
        "stop all",
        "QUIT",
        "End",
        "REVOKE",
        "CANCEL",
        "cancel this please",
        "OPT OUT",
        "opt-out",
        "OPTOUT",
        "I want to opt out",
        "unsubscribe",
        "Please UNSUBSCRIBE me",
        "don't text me",
        "don\u2019t text me again",
        "do not contact me",
        "no more texts",
        "remove me from this list",
        "take me off",
        "leave me alone",
        "Arret",
    ],
)
def test_what_a_reasonable_person_reads_as_stop(text: str) -> None:
    assert wish(text) is Wish.STOP


@pytest.mark.parametrize("text", ["START", "start", "Unstop", " start! "])
def test_only_the_bare_words_bring_texts_back(text: str) -> None:
    assert wish(text) is Wish.START


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Thanks!",
        "YES",
        "start sending to my colleague too",
        "stop the pager in room four please",
        "Has the outage ended?",
        "when does it end",
        "end of outage?",
        "Can I cancel my order?",
        "\U0001f44d",
    ],
)
def test_anything_else_is_no_wish(text: str) -> None:
    assert wish(text) is None


def test_the_reading_of_the_provider_counts_where_we_read_nothing() -> None:
    assert wish("alto", "STOP") is Wish.STOP
    assert wish("si", "START") is Wish.START
    assert wish("help", "HELP") is None


def test_our_stop_beats_any_other_reading() -> None:
    assert wish("STOP", "START") is Wish.STOP


@given(text=st.text(), opt_out_type=st.text())
def test_no_text_breaks_it(text: str, opt_out_type: str) -> None:
    assert wish(text, opt_out_type) in {None, Wish.STOP, Wish.START}
