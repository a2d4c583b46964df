"""Every list is one kind of thing: limit, cursor, Link; what narrows it narrows it, on every page."""

import base64
from datetime import timedelta
from itertools import product
from typing import Any, get_args, get_origin
from urllib.parse import quote

import orjson
import pytest
from pydantic import BaseModel

from dispatcher.context import Context
from dispatcher.web.lists import PageQuery
from dispatcher.web.routes import ROUTES
from tests.flow.story import MovableClock, contact, plan_out, post, seed, update
from tests.web.client import Api

LISTS = [route for route in ROUTES if issubclass(route.query, PageQuery)]
_ONE = "one thing, whose parts are shown with it"
_STATUSPAGE = "as Statuspage answers, for programs that know that"
NO_LISTS = {
    "get_update": _ONE,
    "get_report": _ONE,
    "get_report_json": _ONE,
    "get_dispatch_account": _ONE,
    "get_account": _ONE,
    "get_contact": _ONE,
    "get_banner": "the few notices of this moment, all of which a page shows",
    "public_summary": _STATUSPAGE,
    "public_components": _STATUSPAGE,
    "public_incidents": _STATUSPAGE,
    "public_unresolved": _STATUSPAGE,
    "public_maintenances": _STATUSPAGE,
}
"""What holds several things of a kind and is no list to be paged through, and why."""


def holds_things(annotation: Any) -> bool:
    """Whether a field of this type holds any number of things that have fields of their own."""
    inner = get_args(annotation)
    if get_origin(annotation) in {list, tuple}:
        return any(isinstance(item, type) and issubclass(item, BaseModel) for item in inner)
    return any(holds_things(item) for item in inner)


def test_whatever_answers_with_a_list_is_paged_through_in_the_one_way_there_is() -> None:
    several = {
        route.operation: route
        for route in ROUTES
        if route.method == "GET"
        and 200 in route.replies
        and any(holds_things(item.annotation) for item in route.replies[200].model_fields.values())
    }
    assert several.keys() - NO_LISTS.keys() == {route.operation for route in LISTS}
    assert several.keys() >= NO_LISTS.keys()
    for route in LISTS:
        page = route.replies[200].model_fields
        assert holds_things(page["data"].annotation), route.operation
        assert page["next_cursor"].annotation == str | None, route.operation
        assert route.operation.startswith("list_")


@pytest.fixture
async def world(ctx: Context) -> None:
    await seed(ctx, [contact(number, f"account{number}") for number in range(5)])
    for number in range(5):
        severity = "P1" if number % 2 else "P2"
        about: dict[str, Any] = {"external_id": f"INC-{number}", "severity": severity}
        await post(
            ctx, update(ctx, incident=about, source="paging" if number == 4 else "monitoring")
        )


async def walked(api: Api, path: str, *, limit: int = 2) -> list[dict[str, Any]]:
    """Everything of a list, two by two, along its Link headers."""
    found: list[dict[str, Any]] = []
    following = f"{api.base}{path}{'&' if '?' in path else '?'}limit={limit}"
    while following:
        answer = await api.get(following.removeprefix(api.base))
        assert answer.status == 200, answer.body
        found += answer.json["data"]
        link = answer.headers.get("Link", "")
        assert (answer.json["next_cursor"] is None) == (not link)
        assert not link or f"cursor={answer.json['next_cursor']}>" in link
        following = link.removesuffix('>; rel="next"').removeprefix("<")
    return found


@pytest.mark.usefixtures("world")
async def test_lists_are_walked_to_their_end_and_narrowed(api: Api, ctx: Context) -> None:
    for name in ("accounts", "contacts", "incidents", "dispatches"):
        rows = await walked(api, f"/v1/{name}")
        assert len({row.get("id") or row["external_id"] for row in rows}) == 5, name

    for limit, last in ((4, False), (5, True)):
        page = (await api.get(f"/v1/incidents?limit={limit}")).json
        assert (page["next_cursor"] is None) == last
    incidents = await walked(api, "/v1/incidents")
    assert [row["external_id"] for row in incidents] == [f"INC-{n}" for n in (4, 3, 2, 1, 0)]
    before, after = (
        quote((ctx.now() + timedelta(minutes=minutes)).isoformat()) for minutes in (-1, 1)
    )
    elsewhere = {"name": "elsewhere", "public_name": "Elsewhere"}
    await api.call("PUT", "/v1/components/elsewhere", elsewhere)
    assert (await api.get("/v1/incidents?component=nowhere")).status == 404
    narrowed = {
        "severity=P1": ["INC-3", "INC-1"],
        "source=paging": ["INC-4"],
        "external_id=INC-2": ["INC-2"],
        "external_id=INC-2&source=paging": [],
        "severity=P2&source=monitoring&state=open": ["INC-2", "INC-0"],
        "state=resolved": [],
        "status=investigating": ["INC-4", "INC-3", "INC-2", "INC-1", "INC-0"],
        "status=monitoring": [],
        "component=checkout&severity=P1": ["INC-3", "INC-1"],
        "component=elsewhere": [],
        f"since={before}": ["INC-4", "INC-3", "INC-2", "INC-1", "INC-0"],
        f"since={after}": [],
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


async def test_other_lists_are_narrowed_too(api: Api, ctx: Context, clock: MovableClock) -> None:
    await seed(ctx, [contact(1, "small")])
    moments = []
    for number, severity in enumerate(("P1", "P2", "P1")):
        moments.append(quote(ctx.now().isoformat()))
        about: dict[str, Any] = {"external_id": f"INC-{number}", "severity": severity}
        await plan_out(ctx, await post(ctx, update(ctx, incident=about)))
        await post(ctx, update(ctx, incident={**about, "external_id": f"D-{number}"}, mode="draft"))
        clock.move(timedelta(minutes=10))
    drafts = await walked(api, "/v1/drafts?severity=P1", limit=1)
    assert [row["external_id"] for row in drafts] == ["D-2", "D-0"]
    told = "/v1/accounts/small/deliveries"
    for query, expected in {
        "": [2, 1, 0],
        f"?since={moments[1]}": [2, 1],
        f"?until={moments[1]}": [0],
        f"?since={moments[1]}&until={moments[2]}": [1],
    }.items():
        rows = await walked(api, f"{told}{query}", limit=1)
        assert [row["incident_external_id"] for row in rows] == [f"INC-{n}" for n in expected]

    for channel, address in (("email", "a@example.com"), ("sms", "+12125550111")):
        body = {"channel": channel, "address": address}
        assert (await api.call("POST", "/v1/suppressions", body)).status == 201
        clock.move(timedelta(minutes=10))
    for query, expected_channels in {
        "": {"email", "sms"},
        "?channel=sms": {"sms"},
        "?reason=operator": {"email", "sms"},
        "?reason=bounced": set(),
        "?channel=email&reason=operator": {"email"},
    }.items():
        found = await walked(api, f"/v1/suppressions{query}", limit=1)
        assert {row["channel"] for row in found} == expected_channels, query
    later, earlier = await walked(api, "/v1/audit?action=suppression.add")
    for query, entry in (
        (f"until={quote(later['at'])}", earlier),
        (f"since={quote(later['at'])}", later),
    ):
        assert await walked(api, f"/v1/audit?action=suppression.add&{query}") == [entry]


@pytest.fixture
async def addresses(api: Api, world: None) -> dict[str, str]:
    """Every list by its operation, at an address where there is something."""
    del world
    dispatch = (await api.get("/v1/dispatches?limit=1")).json["data"][0]
    webhook = {"url": "https://hooks.example.com/", "events": ["dispatch.completed"]}
    made: dict[str, list[dict[str, Any]]] = {
        "/v1/sources": [{"kind": "alertmanager", "name": name} for name in ("one", "two")],
        "/v1/webhooks": [webhook, webhook],
        "/v1/users": [
            {"email": f"{name}@example.com", "name": name, "role": "viewer"} for name in "ab"
        ],
        "/v1/suppressions": [
            {"channel": "email", "address": f"{name}@example.com"} for name in "ab"
        ],
    }
    ids = {"dispatch_id": dispatch["id"], "incident_id": dispatch["incident_id"]}
    ids |= {"external_id": "account1", "update_id": dispatch["update_id"]}
    for path, bodies in made.items():
        for body in bodies:
            answer = await api.call("POST", path, body)
            assert answer.status in {200, 201}, answer.body
            if path in {"/v1/sources", "/v1/webhooks"}:
                ids[f"{path[4:-1]}_id"] = answer.json["id"]
    return {route.operation: route.path.format(**ids) for route in LISTS}


async def test_every_list_is_the_same_in_pages_of_one_as_in_one_page(
    api: Api, addresses: dict[str, str]
) -> None:
    empty = {"list_drafts", "list_draft_revisions", "list_intake_events"}
    empty |= {"list_webhook_deliveries", "list_dispatch_accounts", "list_deliveries"}
    empty |= {"list_account_deliveries"}
    for operation, path in addresses.items():
        whole = await api.get(f"{path}?limit=200")
        assert (whole.status, whole.json["next_cursor"]) == (200, None), operation
        expected = whole.json["data"]
        assert bool(expected) == (operation not in empty), operation
        assert await walked(api, path, limit=1) == expected, operation
        assert (await api.get(f"{path}?limit=0")).kind == "invalid-query"
        assert (await api.get(f"{path}?limit=201")).kind == "invalid-query"


async def test_a_cursor_that_somebody_made_up_is_refused(
    api: Api, addresses: dict[str, str]
) -> None:
    beyond: tuple[Any, ...] = (2**62, "\x00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59-14:00")
    keys = [key for length in (1, 2) for key in product(beyond, repeat=length)]
    keys += [(value,) * 3 for value in beyond]
    for operation, path in addresses.items():
        for key in keys:
            cursor = base64.urlsafe_b64encode(orjson.dumps(key)).decode()
            answer = await api.get(f"{path}?cursor={cursor}")
            # A number beyond the last row is a place in a list of numbers: nothing comes after it.
            assert answer.status in {200, 400}, (operation, key, answer.body)
            assert answer.status != 200 or set(key) == {2**62}, (operation, key)


async def test_a_link_to_the_next_page_is_right_for_names_with_signs_of_addresses(
    api: Api, ctx: Context
) -> None:
    name = "a?b#c/d%2Fe&f+g h"
    await seed(ctx, [contact(1, name)])
    for number in range(3):
        await plan_out(ctx, await post(ctx, update(ctx, incident={"external_id": f"i{number}"})))
    told = await walked(api, f"/v1/accounts/{quote(name, safe='')}/deliveries", limit=1)
    assert [row["incident_external_id"] for row in told] == ["i2", "i1", "i0"]
    for number in range(2):
        incident = {"external_id": f"d{number}"}
        await post(ctx, update(ctx, mode="draft", source=name, incident=incident))
    found = await walked(api, f"/v1/incidents?source={quote(name, safe='')}", limit=1)
    assert [row["external_id"] for row in found] == ["d1", "d0"]
