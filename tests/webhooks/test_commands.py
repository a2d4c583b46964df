"""Webhooks on the command line."""

from typing import Any

import pytest

from dispatcher.context import Context
from dispatcher.stages import webhooks
from tests.cli.conftest import Tidings, shell, tidings
from tests.cli.conftest import on_database as plain
from tests.webhooks.hooks import tell
from tests.webhooks.receiver import Receiver

__all__ = ["plain", "shell", "tidings"]

pytestmark = pytest.mark.timeout(120)  # each command is a process of its own


@pytest.fixture
def on_database(plain: dict[str, str]) -> dict[str, str]:
    """Webhooks may lead to receivers of the tests, on this machine."""
    lab = {"ALLOW_NETWORKS": '["127.0.0.0/8"]', "HTTP_HOSTS": '["127.0.0.1"]'}
    return plain | {f"TIDINGS_WEBHOOKS__{name}": value for name, value in lab.items()}


async def test_a_receiver_is_made_tested_looked_at_rotated_stopped_and_removed(
    tidings: Tidings, ctx: Context, receiver: Receiver
) -> None:
    made = await tidings("webhooks", "create", receiver.url, "--event", "source.error")
    assert made.code == 0, made.err
    fields = dict(line.split(": ", 1) for line in made.out.splitlines())
    webhook, secret = fields["id"].strip(), fields["secret"].strip()
    assert "not shown again" in made.err

    tested = await tidings("webhooks", "test", webhook)
    assert (tested.code, tested.out.split(":")[0]) == (0, "It was taken")
    assert receiver.got[0].verify(secret)["type"] == "webhook.test"
    receiver.answer(503, b"closed for lunch")
    refused = await tidings("webhooks", "test", webhook)
    assert refused.code == 1
    assert "It was not taken: status (503). It said: closed for lunch" in refused.err

    await tell(ctx)
    await webhooks.run(ctx, ctx.signer.read_public_id("whk", webhook))
    log: Any = (await tidings("webhooks", "log", webhook, "--json")).json
    assert [item["type"] for item in log["data"]] == ["source.error", *["webhook.test"] * 2]
    again = await tidings("webhooks", "resend", webhook, log["data"][0]["id"])
    assert again.code == 0, again.err
    assert "waiting" in (await tidings("webhooks", "log", webhook)).out

    rotated: Any = (await tidings("webhooks", "rotate", webhook, "--json")).json
    assert rotated["secret"] != secret
    await tidings("webhooks", "change", webhook, "--description", "for the tickets")
    await tidings("webhooks", "disable", webhook)
    shown = await tidings("webhooks", "show", webhook)
    assert "for the tickets" in shown.out
    assert "person" in shown.out
    assert "disabled (person)" in (await tidings("webhooks", "list")).out
    await tidings("webhooks", "enable", webhook)
    assert "is removed" in (await tidings("webhooks", "remove", webhook, "--yes")).out
    assert "Nobody is told" in (await tidings("webhooks", "list")).out
    actors = await ctx.pool.fetch("select distinct actor from audit where action like 'webhook.%'")
    assert [row["actor"] for row in actors] == ["cli"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (
            ("create", "http://example.com/"),
            "must begin with https://, unless webhooks.http_hosts names the host",
        ),
        (("create", "https://10.0.0.1/"), "webhooks.allow_networks"),
        (("test", "whk_nobody"), "no such webhook"),
    ],
)
async def test_what_cannot_be_done_is_said_in_a_sentence(
    tidings: Tidings, arguments: tuple[str, ...], word: str
) -> None:
    answer = await tidings("webhooks", *arguments)
    assert answer.code == 2
    assert word in answer.err
    assert "Traceback" not in answer.err
