"""The program keeps to its own description, whatever it is sent: schemathesis, over real HTTP."""

import asyncio
import os
import sys
from pathlib import Path

import orjson
import pytest

from dispatcher.config import ApiSettings, Settings, StatusSettings
from dispatcher.context import Context
from dispatcher.web.openapi.document import is_api
from dispatcher.web.routes import ROUTES
from dispatcher.web.scopes import Scope
from tests.flow.story import contact, plan_out, post, seed, update
from tests.web.client import Api, key_with

EXAMPLES = int(os.environ.get("TIDINGS_TEST_EXAMPLES", "2"))
SEED = int(os.environ.get("TIDINGS_TEST_SEED", "7202603"))
REPOSITORY = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("schemathesis.toml")
_MOST = 10**9
WEBHOOK = {"url": "https://hooks.example.com/", "events": ["update.published"]}
PERSON = {"email": "ada@example.com", "name": "Ada", "role": "viewer"}


@pytest.fixture
def web_settings(web_settings: Settings) -> Settings:
    """Without a limit: a limit is not what is looked for here."""
    api = ApiSettings(
        calls=_MOST,
        updates=_MOST,
        calls_by_address=_MOST,
        refused_by_address=_MOST,
        sign_ins=_MOST,
    )
    more = {"api": api, "status": StatusSettings(public=True)}
    return web_settings.model_copy(update=more)


async def known_ids(ctx: Context, api: Api) -> dict[str, list[str]]:
    """Things of each kind, so that not everything asked for is unknown."""
    await seed(ctx, [contact(1, "small", external_id="small")])
    # Without a worker the program says rightly that it is not ready.
    await ctx.pool.execute(
        "insert into worker (id, host, pid, started_at, seen_at)"
        " values (gen_random_uuid(), 'h', 1, clock_timestamp(), clock_timestamp() + interval '1 hour')"
    )
    sent = await post(ctx, update(ctx))
    await plan_out(ctx, sent)
    draft = await post(ctx, update(ctx, mode="draft", incident={"external_id": "INC-43"}))
    public = ctx.signer.public_id
    return {
        "external_id": ["small", "checkout"],
        "incident_id": [public("inc", sent.incident_id)],
        "update_id": [public("upd", sent.update_id), public("upd", draft.update_id)],
        "dispatch_id": [public("dsp", sent.dispatch_id or 0)],
        "source_id": [await made(api, "source", {"kind": "alertmanager", "name": "alerts"})],
        "webhook_id": [await made(api, "webhook", WEBHOOK)],
        "user_id": [await made(api, "user", PERSON)],
    }


async def made(api: Api, thing: str, body: object) -> str:
    answer = await api.call("POST", f"/v1/{thing}s", body)
    return str(answer.json["id"])


@pytest.mark.timeout(300)  # some five thousand requests: half a minute where nothing else runs
async def test_whatever_is_sent_the_answer_is_one_that_is_described(
    api: Api, ctx: Context, tmp_path: Path
) -> None:
    ids = await known_ids(ctx, api)
    config = CONFIG.read_text("utf-8")
    for name, values in ids.items():
        config += f"\n[dictionaries.{name}]\nvalues = {orjson.dumps(values).decode()}\n"
    config += "\n[parameters]\n" + "".join(
        f'"path.{name}" = {{ dictionary = "{name}", probability = 0.8 }}\n' for name in ids
    )
    (tmp_path / "config.toml").write_text(config, "utf-8")
    report = tmp_path / "report.json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", tmp_path / "config.toml"),
        *("run", f"{api.base}/v1/openapi.json", "--seed", str(SEED)),
        *("--header", f"Authorization: Bearer {await key_with(ctx, Scope.ADMIN)}"),
        *("--max-examples", str(EXAMPLES), "--no-shrink"),
        *("--report", "json", "--report-json-path", report),
        cwd=tmp_path,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "150", "PYTHONPATH": str(REPOSITORY)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said
    found = orjson.loads(report.read_bytes())
    # The description itself is what it reads.
    assert found["operations"]["selected"] == sum(map(is_api, ROUTES)) - 1
    # Were every answer a refusal, nothing of what is shown would be held against its schema.
    accepted = [
        name
        for name, phases in found["valid_rates"].items()
        if any(phase["accepted"] for phase in phases.values())
    ]
    assert len(accepted) > 0.75 * len(found["valid_rates"])
