"""What --json prints is what the API answers for the same thing, word for word."""

import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from dispatcher.app import running
from dispatcher.config import Settings
from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.web.app import make_runner
from dispatcher.web.scopes import Scope
from tests.cli.conftest import Tidings
from tests.cli.test_manual import LEAVES
from tests.flow.story import contact, plan_out, post, seed, update
from tests.web.client import Api, key_with

MASKED = frozenset(Scope) - {Scope.ADMIN, Scope.RECIPIENTS_READ_PII}
SAME = {
    "/v1/incidents?state=open": "incidents list",
    "/v1/incidents?limit=1": "incidents list --state all --limit 1",
    "/v1/incidents/{inc}": "incidents show {name}",
    "/v1/incidents/{inc}/updates": "updates list {inc}",
    "/v1/updates/{upd}": "updates show {upd}",
    "/v1/dispatches?state=sending": "dispatches list --state sending",
    "/v1/dispatches/{dsp}": "dispatches show",
    "/v1/dispatches/{dsp}/deliveries?limit=3": "deliveries list --limit 3",
    "/v1/dispatches/{dsp}/deliveries?channel=sms": "deliveries list {dsp} --channel sms",
    "/v1/dispatches/{dsp}/accounts?search=sma": "dispatches accounts --search sma",
    "/v1/accounts?limit=1": "accounts list --limit 1",
    "/v1/accounts?segment=smb": "accounts list --segment smb",
    "/v1/accounts/small": "accounts show small",
    "/v1/accounts/small/deliveries?limit=5": "accounts deliveries small",
    "/v1/contacts": "contacts list",
    "/v1/contacts?account=small&limit=2": "contacts list --account small --limit 2",
    "/v1/contacts/c1": "contacts show c1",
    "/v1/components": "components list",
    "/v1/components/checkout": "components show checkout",
    "/v1/suppressions": "suppressions list",
    "/v1/channels": "channels",
    "/v1/segments": "segments list",
    "/v1/templates": "templates list",
}
"""With `{name}` the operator's own id of the incident."""
FOR_ADMINS = {
    "/v1/keys?limit=1": "keys list --limit 1",
    "/v1/users?limit=1": "users list --limit 1",
    "/v1/sources?limit=1": "sources list --limit 1",
    "/v1/webhooks": "webhooks list",
    "/v1/audit?limit=2": "audit --limit 2",
}


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[tuple[Context, Api]]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with running(settings.model_copy(update={"public_url": url})) as ctx:
            runner = make_runner(ctx)
            await runner.setup()
            await web.SockSite(runner, listening).start()
            async with aiohttp.ClientSession() as session:
                yield ctx, Api(session, url, {})
            await runner.cleanup()


async def test_json_is_what_the_api_answers_masked_and_in_full(
    tidings: Tidings, settings: Settings, conn: Connection
) -> None:
    async with serving(settings) as (ctx, anonymous):
        await seed(ctx, [contact(n, "small") for n in range(3)])
        accepted = await post(ctx, update(ctx))
        await plan_out(ctx, accepted)
        ids = {
            "inc": ctx.signer.public_id("inc", accepted.incident_id),
            "upd": ctx.signer.public_id("upd", accepted.update_id),
            "dsp": ctx.signer.public_id("dsp", accepted.dispatch_id or 0),
            "name": await conn.fetchval("select external_id from incident"),
        }
        await tidings("suppressions", "add", "email", "ann@example.com")
        for scopes, whole in ((MASKED, False), (frozenset(Scope), True)):
            api = anonymous.bearing(await key_with(ctx, *scopes))
            for path, words in SAME.items():
                verb = words.format(**ids).split()
                if whole and not shows_addresses(verb):
                    continue
                more = ["--addresses"] if whole else []
                answer = await api.get(path.format(**ids))
                said = await tidings(*verb, "--json", *more, TIDINGS_PUBLIC_URL=api.base)
                assert answer.status == 200, (path, answer.json)
                assert said.json == answer.json, (verb, more)


async def test_what_admins_are_shown_is_the_same_page_by_page(
    tidings: Tidings, settings: Settings
) -> None:
    for name in ("one", "two"):
        await tidings("keys", "create", name)
        await tidings("users", "create", f"{name}@example.com", "--role", "viewer")
        await tidings("sources", "create", "alertmanager", name)
    async with serving(settings) as (ctx, anonymous):
        api = anonymous.bearing(await key_with(ctx, *Scope))
        for path, words in FOR_ADMINS.items():
            answer = await api.get(path)
            said = await tidings(*words.split(), "--json", TIDINGS_PUBLIC_URL=api.base)
            assert said.json == answer.json, words
            cursor = answer.json["next_cursor"]
            if cursor is not None:
                following = await api.get(f"{path}&cursor={cursor}")
                more = await tidings(
                    *words.split(), "--json", "--cursor", cursor, TIDINGS_PUBLIC_URL=api.base
                )
                assert more.json == following.json != answer.json, words
                assert f"--cursor {cursor}" in (await tidings(*words.split())).out
            assert (cursor is None) is (words == "webhooks list")
        assert (await tidings("users", "list", "--cursor", "x")).code == 2


def shows_addresses(verb: list[str]) -> bool:
    leaf = LEAVES.get(" ".join(verb[:2])) or LEAVES[verb[0]]
    return any("--addresses" in param.opts for param in leaf.params)


async def test_an_incident_is_named_as_its_source_names_it_unless_two_do(
    tidings: Tidings, settings: Settings
) -> None:
    async with running(settings) as ctx:
        await seed(ctx, [contact(1, "small")])
        await post(ctx, update(ctx))
        assert "INC-42" in (await tidings("dispatches", "list")).out
        unknown = await tidings("accounts", "deliveries", "nobody")
        assert (unknown.code, "'nobody'" in unknown.err) == (2, True)
        listed = await tidings("incidents", "list", "--severity", "P1")
        assert re.search(r"INC-42\s+P1\s+investigating\s+in \d+ min\s+Some customers", listed.out)
        assert "no such incident" in (await tidings("incidents", "list", "--source", "other")).out
        assert (await tidings("incidents", "show", "INC-42")).code == 0
        await post(ctx, update(ctx, source="other"))
        both = await tidings("incidents", "show", "INC-42")
        assert both.code == 2
        assert re.search(r"may be inc_\w+ of other and inc_\w+ of monitoring", both.err)
