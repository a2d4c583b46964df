"""docs/drafts.md and the verbs, done as they say."""

import re
import shutil
import subprocess
import tomllib
from asyncio import to_thread
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from dispatcher.config.preview import SmsPrices
from dispatcher.context import Context
from dispatcher.web.problems import PROBLEMS
from dispatcher.web.scopes import Scope
from tests.cli.conftest import Tidings, environment, shell, tidings
from tests.drafts.desk import Desk, body
from tests.web.client import Api, key_with

__all__ = ["shell", "tidings"]

pytestmark = pytest.mark.usefixtures("people")

TEXT: Final = (Path(__file__).parents[2] / "docs" / "drafts.md").read_text("utf-8")
LIST, LOOK, CHANGE, AHEAD, SUBMIT, DISCARD = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
LACKING: Final = {"title": None, "impact": None, "next_update_by": None}


@pytest.fixture
def on_database(ctx: Context) -> dict[str, str]:
    """The command line works on the installation that the test talks to."""
    settings = ctx.settings
    assert settings.database.url is not None
    assert settings.secret is not None
    return environment(
        DATABASE__URL=settings.database.url.get_secret_value(),
        SECRET=settings.secret.get_secret_value(),
        PUBLIC_URL=settings.public_url,
    )


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_the_lines_of_curl_lead_from_a_draft_to_a_message_or_to_none(
    api: Api, ctx: Context, tmp_path: Path
) -> None:
    key = await key_with(ctx, Scope.INCIDENTS_READ, Scope.UPDATES_WRITE, Scope.APPROVALS_WRITE)
    desk = await Desk.with_draft(api, body(ctx, facts=LACKING))
    other = await Desk.with_draft(api, body(ctx, incident={"external_id": "INC-7"}), "k2")

    async def run(path: str, *blocks: str) -> Any:
        script = "\n".join(["set -e", *blocks]).replace("http://127.0.0.1:8080", api.base)
        done = await to_thread(
            subprocess.run,
            ["sh", "-c", script],
            cwd=tmp_path,
            env={**environment(KEY=key), "DRAFT": path},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return orjson.loads(done.stdout) if done.stdout else None

    listed = await run("", LIST)
    assert [row["missing"] for row in listed["data"]] == [[], list(LACKING)]
    ahead = await run(desk.path, LOOK, CHANGE, AHEAD)
    assert (ahead["ready"], ahead["missing"]) == (True, [])
    sent = await run(desk.path, LOOK, SUBMIT)
    assert sent["state"] == "dispatching"
    gone = await run(other.path, LOOK, DISCARD)
    assert (gone["state"], gone["state_detail"]) == ("cancelled", "a test of the alarm")


def test_what_the_document_names_is_there() -> None:
    assert set(re.findall(r"4\d\d `([a-z-]+)`", TEXT)) <= set(PROBLEMS)
    prices = tomllib.loads(re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)[0])
    assert str(SmsPrices(**prices["sms_prices"]).of("+491711234567")) == "0.0845"


async def test_the_verbs_take_a_draft_from_the_list_to_the_customers(
    api: Api, ctx: Context, tidings: Tidings
) -> None:
    desk = await Desk.with_draft(api, body(ctx, facts=LACKING, note="from the pager"))
    name = desk.path.rpartition("/")[2]
    listed: Any = (await tidings("drafts", "list", "--json")).json
    assert [row["id"] for row in listed["data"]] == [name]
    refused = await tidings("drafts", "submit", name, typed="y\n")
    assert (refused.code, "Nothing can leave without title" in refused.err) == (2, True)
    patch = "facts:\n  title: Some customers cannot check out\nseverity: P2\n"
    promise = body(ctx)["facts"]["next_update_by"]
    edited = await tidings(
        *("drafts", "edit", name, "-", "--set", "severity=P1", "--json"),
        *("--set", "facts.impact=Nobody: neither you nor we.", "--set", "facts.scope=null"),
        *("--set", f"facts.next_update_by={promise}", "--version", desk.seen),
        stdin=patch,
    )
    assert edited.code == 0, edited.err
    made: Any = edited.json
    assert (made["severity"], made["missing"], made["facts"]["scope"]) == ("P1", [], None)
    assert made["facts"]["impact"] == "Nobody: neither you nor we."
    late = await tidings("drafts", "edit", name, "--set", "note=x", "--version", desk.seen)
    assert (late.code, "changed it meanwhile" in late.err) == (2, True)
    wrong = await tidings("drafts", "edit", name, "--set", "facts.scope.who=all")
    assert (wrong.code, "a fact is replaced whole" in wrong.err) == (2, True)
    shown = await tidings("drafts", "show", name)
    assert "from the pager" in shown.out
    assert "audience" not in shown.out, "it is not narrowed"
    await tidings("drafts", "edit", name, "--set", 'audience={"account_ids": ["big"]}')
    narrowed = await tidings("drafts", "show", name)
    assert re.search(r"^audience: +accounts big$", narrowed.out, re.MULTILINE)
    made = (await tidings("drafts", "edit", name, "--set", "audience=null", "--json")).json
    assert "edited by cli: facts.impact, facts.next_update_by" in shown.out
    ahead = await tidings("drafts", "preview", name)
    assert "2 mails, 2 texts (2" in ahead.out
    assert "Stop e-mails" not in ahead.out, "nobody's link is no link"
    assert f"version: {made['version']}" in ahead.out.replace('"', "")
    hesitating = await tidings("drafts", "submit", name, typed="n\n")
    assert hesitating.code == 1
    assert "2 mails, 2 texts" in hesitating.err
    sent = await tidings("drafts", "submit", name, "--json", typed="y\n")
    assert sent.code == 0, sent.err
    again = await tidings("drafts", "submit", name, "--yes", "--version", made["version"])
    assert "It was sent before" in again.out
    other = await Desk.with_draft(api, body(ctx, incident={"external_id": "INC-7"}), "k2")
    name = other.path.rpartition("/")[2]
    gone = await tidings("drafts", "discard", name, "--why", "noise", "--yes")
    assert gone.out == f"Discarded {name}: noise.\n"
    assert "No draft waits" in (await tidings("drafts", "list")).out
    assert await ctx.pool.fetchval("select count(*) from dispatch") == 1
