"""HEAD and OPTIONS wherever there is something, and an id on every answer, whatever it is."""

import pytest

from dispatcher.context import Context
from dispatcher.web.routes import ROUTES
from dispatcher.web.scopes import Scope
from tests.flow.story import contact, post, seed, update
from tests.web.client import Api, key_with

SHOWN = [
    route
    for route in ROUTES
    if route.method == "GET" and "{" not in route.path and not route.path.startswith("/demo/")
]


@pytest.fixture
async def world(ctx: Context) -> None:
    await seed(ctx, [contact(1, "small")])
    await post(ctx, update(ctx))


@pytest.mark.usefixtures("world")
async def test_head_is_get_without_its_body(api: Api) -> None:
    changes = {"Date", "X-Request-Id", "RateLimit"}
    for route in SHOWN:
        if route.endless:
            assert (await api.call("HEAD", route.path)).status == 405
            continue
        shown, asked = await api.get(route.path), await api.call("HEAD", route.path)
        assert (asked.status, asked.body) == (shown.status, b""), route.path
        if route.path not in {
            "/metrics",
            "/v1/audit",
            "/v1/keys",
            "/v1/me",
        }:  # they tell of the call
            for name in shown.headers.keys() - changes:
                assert asked.headers.get(name) == shown.headers[name], (route.path, name)


async def test_options_names_the_methods_and_opens_nothing(anonymous: Api) -> None:
    answer = await anonymous.call(
        "OPTIONS", "/v1/sources", headers={"Origin": "https://evil.example"}
    )
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS, POST"
    assert not [name for name in answer.headers if name.startswith("Access-Control-")]
    assert (await anonymous.call("OPTIONS", "/v1/nothing")).status == 404
    refused = await anonymous.call("PUT", "/v1/sources")
    assert (refused.status, refused.headers["Allow"]) == (405, answer.headers["Allow"])


async def test_the_bare_address_leads_to_the_description(anonymous: Api) -> None:
    answer = await anonymous.get("/")
    assert (answer.status, answer.headers["Location"]) == (302, "/docs")


@pytest.mark.usefixtures("world")
async def test_every_answer_has_the_id_of_its_request(api: Api, ctx: Context) -> None:
    reader = api.bearing(await key_with(ctx, Scope.INCIDENTS_READ))
    large = b"{" + b" " * 2_000_000
    asked = [
        (200, api.get("/v1/incidents", **{"X-Request-Id": "mine"})),
        (400, api.get("/v1/incidents?x=1", **{"X-Request-Id": "mine"})),
        (401, api.bearing(None).get("/v1/incidents", **{"X-Request-Id": "mine"})),
        (403, reader.get("/v1/channels", **{"X-Request-Id": "mine"})),
        (400, api.get(f"/v1/incidents?x={'x' * 20_000}", **{"X-Request-Id": "mine"})),
        (404, api.get("/nothing", **{"X-Request-Id": "mine"})),
        (405, api.call("PUT", "/v1/incidents", headers={"X-Request-Id": "mine"})),
        (
            413,
            api.call(
                "POST",
                "/v1/updates",
                raw=large,
                headers={
                    "X-Request-Id": "mine",
                    "Content-Type": "application/json",
                    "Idempotency-Key": "k",
                },
            ),
        ),
    ]
    for status, answered in asked:
        answer = await answered
        assert (answer.status, answer.headers["X-Request-Id"]) == (status, "mine")
        if status >= 400:
            assert answer.json["request_id"] == "mine"
    nobody = {"email": "nobody@example.com", "password": "whatever it may be"}
    refused = await api.call("POST", "/v1/sessions", nobody)
    assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, 'Bearer realm="tidings"')
    etag = (await api.get("/v1/incidents")).headers["ETag"]
    known = await api.get("/v1/incidents", **{"If-None-Match": etag, "X-Request-Id": "mine"})
    assert (known.status, known.headers["X-Request-Id"]) == (304, "mine")
