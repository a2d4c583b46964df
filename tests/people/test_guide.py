"""docs/people.md: its table is true, its settings are taken, and its commands are run as they stand."""

import os
import re
import shlex
import tomllib
from asyncio import create_subprocess_exec, subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from dispatcher.config import OidcSettings
from dispatcher.rules.roles import SCOPES_OF, Role
from tests.cli.conftest import Tidings, environment

TEXT = (Path(__file__).parents[2] / "docs" / "people.md").read_text("utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def test_the_table_of_roles_is_that_of_the_program() -> None:
    rows = [line.split("|") for line in TEXT.splitlines() if re.match(r"\| `\w+` \|", line)]
    told = {row[1].strip(" `"): set(re.findall(r"`([a-z:_]+)`", row[3])) for row in rows}
    assert told == {str(role): set(map(str, SCOPES_OF[role])) for role in Role}


def test_the_settings_of_the_guide_are_taken() -> None:
    (block,) = _blocks("toml")
    settings = OidcSettings.model_validate(tomllib.loads(block)["oidc"])
    assert settings.roles == {"incident-authors": "author", "incident-leads": "comms_lead"}


@asynccontextmanager
async def _quick(tidings: Tidings, folder: Path) -> AsyncIterator[Path]:
    """A folder with a `tidings` that asks the one that runs already: what is dear is starting Python."""

    async def run(request: web.Request) -> web.Response:
        done = await tidings(*shlex.split(await request.text()))
        return web.Response(text=done.out or done.err, status=200 if done.code == 0 else 500)

    app = web.Application()
    app.router.add_post("/", run)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    command = folder / "tidings"
    command.write_text(
        f'#!/bin/sh\nexec curl -sS --fail-with-body http://127.0.0.1:{port}/ --data-raw "$*"\n'
    )
    command.chmod(0o700)
    yield folder
    await runner.cleanup()


async def test_the_commands_of_the_guide_do_what_it_says(
    tidings: Tidings, server: str, tmp_path: Path
) -> None:
    """One shell, all blocks in their order; -e ends it at the first that fails."""
    script = "set -eu\n" + "".join(_blocks("sh"))
    async with _quick(tidings, tmp_path) as folder:
        variables = environment(PUBLIC_URL=server)
        variables["PATH"] = f"{folder}{os.pathsep}{variables['PATH']}"
        process = await create_subprocess_exec(
            "bash",
            "-c",
            script,
            cwd=tmp_path,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await process.communicate()
    assert process.returncode == 0, (out, err)
    said = out.decode()
    assert "tidings_live_" in said
    assert "session.begin" in said
    assert '"action":"user.create"' in said
