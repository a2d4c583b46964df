"""docs/webhooks.md says what the program does, and its receivers receive."""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from dispatcher.announce import EventType
from dispatcher.clock import SystemClock
from dispatcher.config import WebhookSettings
from dispatcher.context import Context
from dispatcher.stages import webhooks
from dispatcher.stages.webhooks.message import Message, written
from dispatcher.stages.webhooks.outgoing import AttemptError, post
from dispatcher.stages.webhooks.retries import RETRIES
from tests.chaos.harness import free_port
from tests.webhooks.hooks import hook, log_of, tell
from tests.webhooks.samples import shown

TEXT: Final = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text("utf-8")
UNITS: Final = {"seconds": 1, "minutes": 60, "hours": 3600}


def rows(heading: str, table: int = 0) -> list[list[str]]:
    """The cells of a table below a heading, without its head."""
    part = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(r"(?:^\|.*\|\n)+", part, re.MULTILINE)[table]
    lines = found.strip().splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("kind", EventType)
def test_the_example_of_an_event_is_what_the_program_sends(kind: EventType) -> None:
    part = TEXT.split(f"### {kind}\n")[1].split("\n#")[0]
    example: Any = orjson.loads(part.split("```json\n")[1].split("```")[0])
    assert example == shown(kind)
    assert list(example["data"]) == list(shown(kind)["data"])


def test_the_pauses_are_those_of_the_program() -> None:
    cells = rows("Answers, and what becomes of a message")
    told = [
        timedelta(seconds=int(number) * UNITS[unit])
        for number, unit in (cell[1].split() for cell in cells)
    ]
    assert tuple(told) == RETRIES


def test_every_error_of_the_log_and_every_setting_is_explained() -> None:
    errors = [cell[0].strip("`") for cell in rows("Answers, and what becomes of a message", 1)]
    assert errors == [item for item in AttemptError if item]
    names = {cell[0].strip("`") for cell in rows("Where a webhook may lead")}
    assert names == {f"TIDINGS_WEBHOOKS__{name.upper()}" for name in WebhookSettings.model_fields}


@asynccontextmanager
async def receiver_of(language: str, folder: Path, secret: str) -> AsyncIterator[Any]:
    """The guide's receiver as a process: its port, and what it prints."""
    if language == "js" and not shutil.which("node"):
        pytest.skip("there is no node here")
    code = TEXT.split(f"```{language}\n")[1].split("```")[0]
    file = folder / ("receiver.mjs" if language == "js" else "receiver.py")
    file.write_text(code)
    command = "node" if language == "js" else sys.executable
    port = free_port()
    environment = {**os.environ, "WEBHOOK_SECRET": secret, "PORT": str(port)}
    process = await asyncio.create_subprocess_exec(
        command,
        str(file),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        for _ in range(200):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                break
        yield port, process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.mark.parametrize("language", ["python", "js"])
async def test_the_receivers_of_the_guide_take_what_is_ours_once_and_nothing_else(
    ctx: Context, tmp_path: Path, language: str
) -> None:
    endpoint = await hook(ctx, "http://127.0.0.1:1024/")
    async with receiver_of(language, tmp_path, endpoint.secret) as (port, process):
        url = f"http://127.0.0.1:{port}/"
        await ctx.pool.execute("update webhook_endpoint set url = $1", url)
        await tell(ctx)
        await webhooks.run(ctx, endpoint.id)
        (logged,) = await log_of(ctx, endpoint)
        async with ctx.pool.acquire() as conn:
            await webhooks.resend(conn, endpoint.id, logged.id, now=ctx.now())
        await webhooks.run(ctx, endpoint.id)
        (logged,) = await log_of(ctx, endpoint)
        assert [item.status for item in logged.log] == [204, 204]
        # Changed on the way, too old, and signed by somebody else.
        message = Message(7, EventType.WEBHOOK_TEST, {}, ctx.now(), url, [endpoint.secret])
        settings = ctx.settings.webhooks
        async with webhooks.outgoing(settings) as session:

            async def status(body: bytes, headers: dict[str, str]) -> int | None:
                outcome = await post(
                    session, settings, url, body=body, headers=headers, clock=SystemClock()
                )
                return outcome.status

            body, headers = written(ctx, message, now=ctx.now())
            assert await status(body, headers) == 204
            assert await status(body.replace(b"test", b"tost"), headers) == 400
            assert await status(*written(ctx, message, now=ctx.now() - timedelta(hours=1))) == 400
            other = Message(7, message.type, {}, message.at, url, ["whsec_" + "A" * 44])
            assert await status(*written(ctx, other, now=ctx.now())) == 400
        process.kill()
        printed, _ = await process.communicate()
        assert printed.decode().split() == ["source.error", "webhook.test"], "each once"
