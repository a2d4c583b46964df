"""The length X counts, by cases of our own; the official ones run where they are at hand."""

import pytest

from channels.social_length import LIMIT, weighted_length


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("", 0),
        ("a" * 280, 280),
        ("é" * 10, 10),
        ("e\u0301" * 10, 10),  # composed before it is counted
        ("日" * 10, 20),
        ("\u2014\u2019", 2),
        ("https://status.example.com/i/1", 23),
        ("https://status.example.com/" + "x" * 300, 23),
        ("status.example.com", 23),  # a bare host becomes a link too
        ("see https://a.example.com and https://b.example.com", 4 + 23 + 5 + 23),
        ("\U0001f680", 2),
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467", 2),  # one family, one emoji
        ("two\nlines", 9),
    ],
)
def test_weighted_length(text: str, length: int) -> None:
    assert weighted_length(text) == length


def test_the_limit() -> None:
    assert LIMIT == 280
