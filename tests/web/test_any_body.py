"""Whatever a caller sends is answered with a refusal or an acceptance, never with a fault of ours."""

import json

import pytest

from dispatcher.context import Context
from dispatcher.web.routes import ROUTES
from tests.flow.story import contact, seed
from tests.web.client import Api
from tests.web.fuzz import examples, shaped_like
from tests.web.test_updates import body_of

BODIES = {
    "post_update": [
        "source",
        "incident",
        "status",
        "facts",
        "internal",
        "note",
        "audience",
        "mode",
    ],
    "put_account": ["name", "attributes", "region", "usage", "manager_email", "time_zone"],
    "put_contact": ["account", "name", "email", "phone", "roles", "quiet_from", "subscriptions"],
    "put_component": ["name", "public_name", "description"],
    "add_suppression": ["channel", "address"],
}


@pytest.mark.parametrize("operation", BODIES)
async def test_no_body_is_answered_with_500(api: Api, ctx: Context, operation: str) -> None:
    await seed(ctx, [contact(1, "small")])
    (route,) = [route for route in ROUTES if route.operation == operation]
    path = route.path.replace("{external_id}", "x1")
    around = body_of(ctx) if operation == "post_update" else {}
    for number, odd in enumerate(examples(shaped_like(BODIES[operation]), 60)):
        raw = json.dumps({**around, **odd}).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": f"k{number}"}
        answer = await api.call(route.method, path, raw=raw, headers=headers)
        assert answer.status < 500, odd
