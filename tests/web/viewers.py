"""Users of the customer's product who look at the banner."""

from typing import Any

from dispatcher.context import Context
from dispatcher.stages.accept import AcceptedUpdate
from dispatcher.web.banner.token import make_banner_token
from tests.flow.story import plan_out, post, update
from tests.web.client import Api


def viewing(api: Api, ctx: Context, user: str = "user-1", account: str = "small") -> Api:
    return api.bearing(make_banner_token(ctx, user, account, ctx.now()))


async def announce(ctx: Context, **more: Any) -> AcceptedUpdate:
    accepted = await post(ctx, update(ctx, **more))
    await plan_out(ctx, accepted)
    return accepted


async def items(api: Api) -> list[dict[str, Any]]:
    answer = await api.get("/v1/banner")
    assert answer.status == 200
    found: list[dict[str, Any]] = answer.json["items"]
    return found
