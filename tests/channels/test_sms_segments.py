"""Segments as carriers count them, and the plain spelling that saves some."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.sms_segments import Segments, segments, to_gsm7

ROCKET = "\U0001f680"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Segments("GSM-7", 0, 1)),
        ("a" * 160, Segments("GSM-7", 160, 1)),
        ("a" * 161, Segments("GSM-7", 161, 2)),
        ("a" * 306, Segments("GSM-7", 306, 2)),
        ("a" * 307, Segments("GSM-7", 307, 3)),
        ("€" * 80, Segments("GSM-7", 160, 1)),
        ("€" * 81, Segments("GSM-7", 162, 2)),
        # An extended character is not cut in two: 76 of them fill 152 of the 153 septets.
        ("€" * 152, Segments("GSM-7", 304, 2)),
        ("€" * 153, Segments("GSM-7", 306, 3)),
        ("[ok] {a|b} ~^\\\f", Segments("GSM-7", 24, 1)),
        ("@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ¤¡ÄÖÑÜ§¿äöñüà", Segments("GSM-7", 42, 1)),
        ("`", Segments("UCS-2", 1, 1)),
        ("ж" * 70, Segments("UCS-2", 70, 1)),
        ("ж" * 71, Segments("UCS-2", 71, 2)),
        ("ж" * 134, Segments("UCS-2", 134, 2)),
        ("ж" * 135, Segments("UCS-2", 135, 3)),
        (ROCKET * 35, Segments("UCS-2", 70, 1)),
        (ROCKET * 36, Segments("UCS-2", 72, 2)),
        # Nor is an emoji: 33 of them fill 66 of the 67 units.
        (ROCKET * 67, Segments("UCS-2", 134, 3)),
    ],
)
def test_segments(text: str, expected: Segments) -> None:
    assert segments(text) == expected


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (
            "\u201cDon\u2019t panic\u201d \u2013 we\u2014re\u00a0here\u2026",
            '"Don\'t panic" - we-re here...',
        ),
        ("`code`", "'code'"),
        ("\u2022 one\n\u2022 two", "- one\n- two"),
        ("3 \u00d7 4 \u2264 12 \u2192 ok", "3 x 4 <= 12 -> ok"),
        ("zero\u200bwidth\ufeff soft\u00adhyphen", "zerowidth softhyphen"),
        ("tab\there", "tab here"),
        ("already plain é", "already plain é"),
    ],
)
def test_typography_gives_way_to_ascii(text: str, plain: str) -> None:
    assert to_gsm7(text) == plain
    assert segments(plain).encoding == "GSM-7"


@pytest.mark.parametrize("text", ["Zoë \u2014 hi", "Привет\u2026", "日本\u2019", f"{ROCKET}\u2026"])
def test_a_text_that_needs_ucs2_anyway_stays_as_it_was_written(text: str) -> None:
    assert to_gsm7(text) == text


@given(text=st.text())
def test_plain_spelling_is_stable_and_never_needs_ucs2_anew(text: str) -> None:
    plain = to_gsm7(text)
    assert to_gsm7(plain) == plain
    if segments(text).encoding == "GSM-7":
        assert segments(plain).encoding == "GSM-7"


@given(text=st.text(), more=st.text())
def test_more_text_never_costs_less(text: str, more: str) -> None:
    assert segments(text + more).count >= segments(text).count
