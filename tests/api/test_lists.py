"""Every list is one kind of thing: limit, cursor, Link; what narrows it narrows it, on every page."""

import base64
from itertools import product
from typing import Any

import orjson
import pytest

from dispatcher.context import Context
from dispatcher.web.lists import PageQuery
from dispatcher.web.routes import ROUTES
from tests.flow.story import contact, post, seed, update
from tests.web.client import Api

LISTS = [route for route in ROUTES if issubclass(route.query, PageQuery)]
ENDLESS = {"list_channels", "list_segments", "list_templates"}
"""What an installation has a handful of is shown at once."""


def test_every_list_takes_a_limit_and_a_cursor() -> None:
    named = {route.operation for route in ROUTES if route.operation.startswith("list_")}
    assert named - ENDLESS <= {route.operation for route in LISTS}
    for route in LISTS:
        page = route.replies[200].model_fields
        assert {"data", "next_cursor"} <= page.keys(), route.operation


@pytest.fixture
async def world(ctx: Context) -> None:
    await seed(ctx, [contact(number, f"account{number}") for number in range(5)])
    for number in range(5):
        severity = "P1" if number % 2 else "P2"
        about: dict[str, Any] = {"external_id": f"INC-{number}", "severity": severity}
        await post(
            ctx, update(ctx, incident=about, source="paging" if number == 4 else "monitoring")
        )


async def walked(api: Api, path: str) -> list[dict[str, Any]]:
    """Everything of a list, two by two, along its Link headers."""
    found: list[dict[str, Any]] = []
    following = f"{api.base}{path}{'&' if '?' in path else '?'}limit=2"
    while following:
        answer = await api.get(following.removeprefix(api.base))
        assert answer.status == 200, answer.body
        found += answer.json["data"]
        link = answer.headers.get("Link", "")
        assert (answer.json["next_cursor"] is None) == (not link)
        following = link.removesuffix('>; rel="next"').removeprefix("<")
    return found


@pytest.mark.usefixtures("world")
async def test_lists_are_walked_to_their_end_and_narrowed(api: Api) -> None:
    for name in ("accounts", "contacts", "incidents", "dispatches"):
        rows = await walked(api, f"/v1/{name}")
        assert len({row.get("id") or row["external_id"] for row in rows}) == 5, name

    for limit, last in ((4, False), (5, True)):
        page = (await api.get(f"/v1/incidents?limit={limit}")).json
        assert (page["next_cursor"] is None) == last
    incidents = await walked(api, "/v1/incidents")
    assert [row["external_id"] for row in incidents] == [f"INC-{n}" for n in (4, 3, 2, 1, 0)]
    narrowed = {
        "severity=P1": ["INC-3", "INC-1"],
        "source=paging": ["INC-4"],
        "external_id=INC-2": ["INC-2"],
        "external_id=INC-2&source=paging": [],
        "severity=P2&source=monitoring&state=open": ["INC-2", "INC-0"],
        "state=resolved": [],
    }
    for query, expected in narrowed.items():
        rows = await walked(api, f"/v1/incidents?{query}")
        assert [row["external_id"] for row in rows] == expected, query

    dispatches = await walked(api, "/v1/dispatches")
    assert [row["incident_id"] for row in dispatches] == [row["id"] for row in incidents]
    one = incidents[2]["id"]
    assert [row["incident_id"] for row in await walked(api, f"/v1/dispatches?incident={one}")] == [
        one
    ]
    assert await walked(api, f"/v1/dispatches?incident={one}&state=sending") == []
    assert len(await walked(api, "/v1/dispatches?state=planning")) == 5
    whole = await api.get(f"/v1/dispatches/{dispatches[0]['id']}")
    assert dispatches[0].items() <= whole.json.items()
    assert (await api.get("/v1/dispatches?incident=inc_x")).status == 404
    assert (await api.get("/v1/dispatches?state=paused")).kind == "invalid-query"


@pytest.mark.usefixtures("world")
async def test_a_cursor_that_somebody_made_up_is_refused(api: Api) -> None:
    dispatch = (await api.get("/v1/dispatches?limit=1")).json["data"][0]
    places = {"{dispatch_id}": dispatch["id"], "{incident_id}": dispatch["incident_id"]}
    places |= {"{external_id}": "account1", "{update_id}": dispatch["update_id"]}
    beyond: tuple[Any, ...] = (2**62, "\x00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59-14:00")
    keys = [key for length in (1, 2) for key in product(beyond, repeat=length)]
    keys += [(value,) * 3 for value in beyond]
    for route in LISTS:
        path = route.path
        for name, value in places.items():
            path = path.replace(name, value)
        for key in keys:
            cursor = base64.urlsafe_b64encode(orjson.dumps(key)).decode()
            answer = await api.get(f"{path}?cursor={cursor}")
            # A number beyond the last row is a place in a list of numbers: nothing comes after it.
            assert answer.status in {200, 400, 404}, (route.operation, key, answer.body)
            assert answer.status != 200 or set(key) == {2**62}, (route.operation, key)
