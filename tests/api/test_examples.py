"""What the description shows as a request is one: an empty installation takes each, in their order."""

from typing import Any

from dispatcher.context import Context
from dispatcher.web.openapi.examples import BODIES, PATHS
from dispatcher.web.routes import ROUTES
from tests.web.client import Api

TABLE = {route.operation: route for route in ROUTES}
ELSEWHERE = {
    "return_from_oidc": "needs a provider",
    "post_password": "needs the session of who changes it",
    "replay_intake_event": "needs an event of a sender",
    "post_banner_receipt": "needs a token and somebody who looks",
}


async def test_every_example_of_a_body_is_taken(api: Api, ctx: Context) -> None:
    known = dict(PATHS)
    for operation in BODIES.keys() - ELSEWHERE.keys():
        assert TABLE[operation].body is not None
    for operation, examples in BODIES.items():
        for name, example in examples.items():
            if operation in ELSEWHERE:
                continue
            route = TABLE[operation]
            body = {**example, **({"token": known["token"]} if "token" in example else {})}
            headers = {"Idempotency-Key": name.replace(" ", "-"), "If-Match": "*"}
            answer = await api.call(route.method, route.path.format(**known), body, headers=headers)
            assert answer.status < 300, (operation, name, answer.body)
            known |= learned(operation, answer.json)
    assert await ctx.pool.fetchval("select count(*) from dispatch") == 3


def learned(operation: str, made: dict[str, Any]) -> dict[str, str]:
    """What later examples are about."""
    match operation:
        case "post_update":
            return {
                name: made[name]
                for name in ("update_id", "dispatch_id", "incident_id")
                if made.get(name)
            }
        case "post_user":
            return {"user_id": made["id"], "token": made["link"]["token"]}
        case "post_source" | "post_webhook" | "post_key":
            return {f"{operation.removeprefix('post_')}_id": made["id"]}
        case _:
            return {}
