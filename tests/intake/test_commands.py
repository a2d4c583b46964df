"""Sources and the inspector on the command line."""

from typing import Any

import pytest

from tests.cli.conftest import Tidings, on_database, shell, tidings

__all__ = ["on_database", "shell", "tidings"]

pytestmark = pytest.mark.timeout(180)


async def test_a_source_is_made_changed_rotated_and_disabled(tidings: Tidings) -> None:
    made = await tidings("sources", "create", "statuspage", "status", "--mode", "auto")
    assert made.code == 0, made.err
    fields = dict(line.split(": ", 1) for line in made.out.splitlines())
    secret = fields["secret"].strip()
    assert fields["url"].strip().endswith(secret)
    assert "not shown again" in made.err
    answered: Any = (await tidings("sources", "list", "--json")).json
    listed = answered["data"]
    assert [(one["name"], one["kind"], one["mode"]) for one in listed] == [
        ("status", "statuspage", "auto")
    ]
    changed = await tidings("sources", "change", "status", "--severity", "P1")
    assert changed.code == 0, changed.err
    shown: Any = (await tidings("sources", "show", listed[0]["id"], "--json")).json
    assert (shown["severity"], shown["mode"]) == ("P1", "auto")
    theirs = "a secret that the sender made"
    rotated = await tidings("sources", "rotate", "status", "--secret-file", "-", stdin=theirs)
    assert (rotated.code, theirs in rotated.out + rotated.err) == (0, False)
    assert "is good from now on" in rotated.out
    await tidings("sources", "disable", "status")
    assert "disabled" in (await tidings("sources", "list")).out
    await tidings("sources", "enable", "status")
    everything = [
        await tidings("sources", verb, *rest) for verb, *rest in (("list",), ("show", "status"))
    ]
    assert not any(secret in item.out or theirs in item.out for item in everything)


async def test_a_secret_that_was_given_is_not_said_again(tidings: Tidings) -> None:
    theirs = "a secret that the sender made"
    for kind, more in (("statuspage", []), ("grafana", ["--json"])):
        for words in (["create", kind, kind], ["rotate", kind]):
            said = await tidings(
                "sources", *words, "--secret-file", "-", *more, stdin=f"{theirs} {words[0]}"
            )
            assert said.code == 0, said.err
            assert theirs not in said.out + said.err
            assert "/v1/intake/src_" in said.out
    made: Any = (await tidings("sources", "rotate", "grafana", "--json")).json
    assert made["secret"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("sources", "show", "nobody"), "There is no source 'nobody'"),
        (("sources", "create", "pagerduty", "x", "--component", "nope"), "no component 'nope'"),
        (("sources", "create", "pagerduty", "x", "--map", "shop"), "--map takes WORD=ID"),
        (("sources", "create", "pagerduty", "x", "--severity", "P9"), "/severity"),
        (("intake", "replay", "evt_x"), "no such event"),
        (("intake", "tail", "nobody"), "There is no source"),
    ],
)
async def test_what_cannot_be_done_is_said_in_a_sentence(
    tidings: Tidings, arguments: tuple[str, ...], word: str
) -> None:
    answer = await tidings(*arguments)
    assert answer.code == 2
    assert word in answer.err
    assert "Traceback" not in answer.err
