"""The policy file: data of the operator; mistakes are named with their line."""

from datetime import timedelta

import pytest

from channels.model import ChannelKind
from dispatcher.rules.policy import (
    PolicyError,
    Severity,
    default_policy_text,
    load_policy,
    parse_policy,
)

TEXT = default_policy_text()


def line_of(text: str, part: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if part in line)


def test_the_shipped_policy_holds_the_numbers_of_the_practice() -> None:
    policy = load_policy(None)
    lives = {
        severity: policy.of(severity).time_to_live
        for severity in (Severity.P0, Severity.P1, Severity.P2)
    }
    assert lives[Severity.P0][ChannelKind.SMS] == timedelta(minutes=30)
    assert lives[Severity.P0][ChannelKind.EMAIL] == timedelta(hours=4)
    assert lives[Severity.P1][ChannelKind.SMS] == timedelta(hours=2)
    assert lives[Severity.P1][ChannelKind.EMAIL] == timedelta(hours=8)
    assert lives[Severity.P2][ChannelKind.EMAIL] == timedelta(hours=24)
    notices = [policy.of(severity).first_notice_within for severity in list(Severity)[:4]]
    assert notices == [timedelta(hours=h) for h in (1, 4, 24, 48)]


def test_internal_people_get_mail_and_never_texts() -> None:
    policy = load_policy(None)
    for severity in Severity:
        assert policy.channels_for("internal", severity) == (ChannelKind.EMAIL,)


def test_a_segment_of_the_operators_own_falls_under_the_star() -> None:
    assert ChannelKind.SMS in load_policy(None).channels_for("resellers", Severity.P0)


@pytest.mark.parametrize(
    ("old", "new", "needle", "words"),
    [
        ('cap = "5min"', 'cap = "5 minutes"', "cap =", "such as"),
        ("lane = 3", "lane = 2", "[severity.P2]", "kept for retries"),
        ('channels = ["email"]', 'channels = ["fax"]', 'channels = ["fax"]', "email"),
        ("quiet_hours_bind = false", "quiet_hours_binds = false", "quiet_hours_binds", "Extra"),
        ('per = "15min"', 'per = "15"', '"15"', "such as"),
        ("retry_share = 0.2", "retry_share = 0.5", "retry_share", "less than or equal to 0.2"),
    ],
)
def test_a_mistake_is_named_with_file_line_and_setting(
    old: str, new: str, needle: str, words: str
) -> None:
    text = TEXT.replace(old, new, 1)
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, "mine.toml")
    lines = str(caught.value).splitlines()
    assert any(
        line.startswith(f"mine.toml:{line_of(text, needle)}:") and words in line for line in lines
    ), lines


def test_a_policy_of_an_earlier_version_gets_the_share_of_retries_by_default() -> None:
    lines = [line for line in TEXT.splitlines() if not line.startswith("retry_share")]
    assert len(lines) < len(TEXT.splitlines())
    assert parse_policy("\n".join(lines), "mine.toml").backoff.retry_share == 0.2


def test_an_unknown_severity_in_a_rule_is_refused() -> None:
    with pytest.raises(PolicyError, match="unknown severity: P9"):
        parse_policy(TEXT.replace('["P2", "P3", "planned"]', '["P9"]', 1), "mine.toml")


def test_broken_toml_is_a_sentence_with_its_line() -> None:
    with pytest.raises(PolicyError, match=r"mine\.toml: not valid TOML: .*line 1"):
        parse_policy("this is not toml", "mine.toml")
