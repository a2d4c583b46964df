"""`GET /v1/banner` and the receipts: the banner for those who ask, and its proof of delivery."""

from typing import Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from channels.model import ChannelKind, Fact, Receipt
from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.ids import DeliveryKey
from dispatcher.rules.states import Purpose, bit
from dispatcher.stages import track
from dispatcher.web.answers import Reply
from dispatcher.web.banner.cors import check_origin
from dispatcher.web.banner.items import Item, Viewer, find_viewer, items_for
from dispatcher.web.banner.token import read_banner_token
from dispatcher.web.ids import INCIDENT, number_of
from dispatcher.web.pages import with_etag
from dispatcher.web.reading import NoQuery
from dispatcher.web.routing import POOL_WAIT_S, Answer, Call, Plain

DELIVERY_SQL = """
select d.update_id, d.attempt, d.evidence
from incident_update u
join delivery d on d.update_id = u.id and d.channel = $3 and d.endpoint_id = $4 and d.purpose = $5
where u.incident_id = $1 and u.seq = $2 and d.account_id = $6
"""


class BannerItems(BaseModel):
    """Everything the user sees now."""

    items: list[Item]


class BannerReceiptIn(BaseModel):
    """What the user did with one revision of one item."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(max_length=100)
    revision: int = Field(ge=1, lt=2**31)
    event: Literal["displayed", "dismissed", "clicked"]


class Ignored(BaseModel):
    """The receipt was understood and is of no use here, and why."""

    ignored: str


async def get_banner(call: Plain) -> web.Response:
    """The items as one document with an ETag, for polling behind proxies that hold streams up."""
    ctx, request = call.ctx, call.request
    check_origin(request, ctx)
    user = read_banner_token(ctx, request.headers.get("Authorization"), ctx.now())
    async with ctx.pool.acquire(timeout=POOL_WAIT_S) as conn:
        viewer = await find_viewer(conn, ctx, user.app_user, user.account)
        items: list[Item] = []
        if viewer is not None:
            found = await items_for(conn, ctx, [viewer], now=ctx.now())
            items = list(found[viewer].values())
    return with_etag(request, Reply(BannerItems(items=items)).response(), max_age_s=0)


async def post_receipt(call: Call[BannerReceiptIn, NoQuery]) -> Answer:
    """Evidence that a person saw it: 204 once stored, 202 where there is no delivery to prove."""
    ctx, body = call.ctx, call.body
    check_origin(call.request, ctx)
    user = read_banner_token(ctx, call.request.headers.get("Authorization"), ctx.now())
    incident = number_of(ctx, INCIDENT, body.id)
    async with ctx.pool.acquire(timeout=POOL_WAIT_S) as conn:
        viewer = await find_viewer(conn, ctx, user.app_user, user.account)
        if viewer is None or viewer.endpoint_id is None:
            return Reply(Ignored(ignored="unknown_user"), 202)
        return await _store(conn, ctx, viewer, incident, body)


async def _store(
    conn: Connection, ctx: Context, viewer: Viewer, incident: int, body: BannerReceiptIn
) -> Answer:
    channel, fact = ChannelKind.BANNER.code, Fact(body.event)
    row = await conn.fetchrow(
        DELIVERY_SQL,
        incident,
        body.revision,
        channel,
        viewer.endpoint_id,
        Purpose.NOTICE,
        viewer.account_id,
    )
    if row is None:
        return Reply(Ignored(ignored="no_delivery"), 202)
    if not row["evidence"] & bit(fact):
        key = DeliveryKey(
            row["update_id"], channel, viewer.endpoint_id or 0, Purpose.NOTICE, row["attempt"]
        )
        receipt = Receipt(key=ctx.signer.delivery_key(key), fact=fact, at=ctx.now())
        await track.store(conn, ctx, "banner", [receipt], now=ctx.now())
    return web.Response(status=204)
