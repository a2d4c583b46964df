"""A plain page that shows the banner as a product would; in the demo it signs users in by itself."""

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from channels.model import ChannelKind
from dispatcher.rules.problem import not_found
from dispatcher.web.answers import Reply
from dispatcher.web.banner.token import make_banner_token
from dispatcher.web.pages import SCRIPT_POLICY, page
from dispatcher.web.routing import POOL_WAIT_S, Call
from segments.addresses import address_hash
from segments.model import Channel

ACCOUNT_SQL = """
select acc.external_id
from address a join endpoint e on e.address_id = a.id
join contact_endpoint ce on ce.endpoint_id = e.id and ce.removed_at is null
join contact c on c.id = ce.contact_id
join account acc on acc.id = c.account_id
where a.channel = $1 and a.hash = $2 order by c.id limit 1
"""


class DemoQuery(BaseModel):
    """`user`: an app user of the sample data."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: str = Field(default="", max_length=200)


class DemoToken(BaseModel):
    """A banner token; handed out in the demo only."""

    token: str


async def get_demo_page(call: Call[None, DemoQuery]) -> web.Response:
    """The page; its script reads ?user= itself."""
    settings = call.ctx.settings
    names = {"brand": settings.brand, "demo": settings.banner.demo}
    return page("demo_banner.html", names, policy=SCRIPT_POLICY)


async def get_demo_token(call: Call[None, DemoQuery]) -> Reply:
    """Sign a sample user in. Not there unless the settings say that this is a demo."""
    ctx, user = call.ctx, call.query.user.strip()
    if not ctx.settings.banner.demo or not user:
        raise not_found("page")
    hashed = address_hash(ctx.address_key, Channel.BANNER, user)
    async with ctx.pool.acquire(timeout=POOL_WAIT_S) as conn:
        account = await conn.fetchval(ACCOUNT_SQL, ChannelKind.BANNER.code, hashed)
    if account is None:
        raise not_found("user")
    return Reply(DemoToken(token=make_banner_token(ctx, user, account, ctx.now())))
