"""`/u/{token}`: GET shows a page with a button, for scanners fetch links; only POST acts (RFC 8058)."""

from aiohttp import web

from dispatcher.audit import note
from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction
from dispatcher.ids import ForgedIdError
from dispatcher.web.ids import UNSUBSCRIBE
from dispatcher.web.pages import page
from dispatcher.web.reading import read_bytes
from dispatcher.web.routing import POOL_WAIT_S, Plain
from segments.consents import unsubscribe
from segments.model import SuppressionReason
from segments.suppressions import suppress_hashes

_FORM_LIMIT = 10_000

ADDRESS_SQL = """
select a.channel, a.hash from endpoint e join address a on a.id = e.address_id
where e.id = $1 and a.hash is not null
"""


async def get_unsubscribe(call: Plain) -> web.Response:
    """The page with the button. Nothing changes, however often it is fetched."""
    token = call.path("token")
    if _endpoint(call.ctx, token) is None:
        return _gone()
    return page("unsubscribe.html", {"brand": call.ctx.settings.brand, "token": token})


async def post_unsubscribe(call: Plain) -> web.Response:
    """Suppress the address: 200, no cookie, no redirect, the same answer however often."""
    ctx, token = call.ctx, call.path("token")
    endpoint_id = _endpoint(ctx, token)
    if endpoint_id is None:
        return _gone()
    # A mail client sends List-Unsubscribe=One-Click, the button nothing; both mean the same.
    await read_bytes(call.request, limit=_FORM_LIMIT)

    async def work(conn: Connection) -> None:
        now = ctx.now()
        address = await conn.fetchrow(ADDRESS_SQL, endpoint_id)
        if address is None:
            return
        # The suppression stops what is on its way already, the wish is what the person chose.
        row = (address["channel"], address["hash"], SuppressionReason.OPTED_OUT, "unsubscribe", now)
        changed = await suppress_hashes(conn, [row])
        changed += await unsubscribe(conn, endpoint_id, now)
        if changed:
            await note(
                conn,
                at=now,
                actor="recipient",
                action="unsubscribe",
                thing=f"endpoint:{endpoint_id}",
            )

    await in_transaction(ctx.pool, work, rng=ctx.rng, wait_s=POOL_WAIT_S)
    return page("unsubscribed.html", {"brand": ctx.settings.brand})


def _endpoint(ctx: Context, token: str) -> int | None:
    try:
        return ctx.signer.read_public_id(UNSUBSCRIBE, token)
    except ForgedIdError:
        return None


def _gone() -> web.Response:
    return page("gone.html", {}, status=404)
