"""Whatever stands in an address, in its path or its parameters, is answered, and never with a fault of ours."""

import asyncio
import base64
import re
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from yarl import URL

from dispatcher.config import ApiSettings, Settings
from dispatcher.context import Context
from dispatcher.web.openapi.examples import BODIES
from dispatcher.web.routes import ROUTES
from dispatcher.web.routing import Route
from tests.flow.story import contact, plan_out, post, seed, update
from tests.web.client import Api

NONSENSE = {
    "nothing": "",
    "NUL": "%00",
    "NUL within": "inc_%00a",
    "a lone surrogate": "%ED%A0%80",
    "no UTF-8": "%FF%FE",
    "very long": "x" * 6000,
    "long and wide": "%F0%9F%98%80" * 400,
    "negative": "-1",
    "beyond 64 bits": "9223372036854775808",
    "beyond all bits": "-" + "9" * 400,
    "a float": "1e400",
    "the year 1": "0001-01-01T00:00:00Z",
    "before the year 1": "0001-01-01T00:00:00%2B14:00",
    "after the year 9999": "9999-12-31T23:59:59-14:00",
    "an id of ours, forged": "inc_aaaaaaaaaaaaa",
}
CURSORS = (
    b'["2026-01-01T00:00:00+00:00", "\\u0000"]',
    b'["\\u0000"]',
    b"[-1]",
    b"[1e400]",
    b"[true]",
    b"[]",
    b"{}",
    b"[[[[[[1]]]]]]",
    b"\xff",
    b"",
)


@pytest.fixture
def web_settings(web_settings: Settings) -> Settings:
    """So many calls by one caller as nobody makes."""
    many = dict.fromkeys(
        ("calls", "updates", "calls_by_address", "refused_by_address", "sign_ins"), 10**6
    )
    return web_settings.model_copy(update={"api": ApiSettings(**many)})


@pytest.fixture
async def ids(ctx: Context, api: Api) -> dict[str, str]:
    """What fits into paths: one thing of each kind."""
    await seed(ctx, [contact(1, "small")])
    accepted = await post(ctx, update(ctx))
    await plan_out(ctx, accepted)
    public = ctx.signer.public_id
    source = await api.call("POST", "/v1/sources", {"kind": "alertmanager", "name": "alerts"})
    return {
        "incident_id": public("inc", accepted.incident_id),
        "update_id": public("upd", accepted.update_id),
        "dispatch_id": public("dsp", accepted.dispatch_id or 0),
        "external_id": "small",
        "source_id": source.json["id"],
        "provider": "sendgrid",
        "format": "csv",
    }


def in_paths(route: Route[Any, Any], ids: dict[str, str]) -> Iterator[tuple[str, str]]:
    """What is odd, and the address."""
    names = re.findall(r"\{(\w+)\}", route.path)
    for name in names:
        fitting = {other: ids.get(other, "x") for other in names}
        for what, value in NONSENSE.items():
            yield f"{name}: {what}", route.path.format(**{**fitting, name: value})


def in_queries(route: Route[Any, Any], ids: dict[str, str]) -> Iterator[tuple[str, str]]:
    """The same of its parameters, of a name nobody knows, and of cursors that look like ours."""
    path = re.sub(r"\{(\w+)\}", lambda found: ids.get(found[1], "x"), route.path)
    for name in route.query.model_fields:
        # Every list reads its limit as the others do; its cursor is its own.
        if name != "limit" or route.operation == "list_incidents":
            for what, value in NONSENSE.items():
                yield f"{name}: {what}", f"{path}?{name}={value}"
    yield "a name", f"{path}?%00%ED%A0%80=1&%00%ED%A0%80=2"
    if "cursor" in route.query.model_fields:
        for key in CURSORS:
            yield f"cursor: {key!r}", f"{path}?cursor={base64.urlsafe_b64encode(key).decode()}"


@pytest.mark.parametrize("where", [in_paths, in_queries], ids=["paths", "parameters"])
async def test_no_address_is_answered_with_a_fault(
    api: Api, ids: dict[str, str], where: Any
) -> None:
    wrong: list[str] = []
    turns = asyncio.Semaphore(8)

    async def ask(route: Route[Any, Any], what: str, address: str) -> None:
        body = next(iter(BODIES[route.operation].values())) if route.body else None
        headers = {**api.headers, "If-Match": "*", "Idempotency-Key": "nonsense"}
        async with (
            turns,
            api.session.request(
                route.method,
                URL(f"{api.base}{address}", encoded=True),
                headers={**headers, "Content-Type": "application/json"},
                data=orjson.dumps(body) if body else None,
                allow_redirects=False,
            ) as response,
        ):
            answer = await response.read()
        explained = response.ok or response.content_type == "application/problem+json"
        if response.status >= 500 or (address.startswith("/v1/") and not explained):
            wrong.append(f"{route.operation}, {what}: {response.status} {answer[:200]!r}")

    calls = [
        ask(route, what, address)
        for route in ROUTES
        for what, address in where(route, ids)
        if not route.endless
    ]
    await asyncio.gather(*calls)
    assert len(calls) > 800
    assert wrong == []
