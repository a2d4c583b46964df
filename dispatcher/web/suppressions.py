"""Addresses that must not be used. They travel in bodies: URLs end up in logs."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from channels.model import ChannelKind
from dispatcher.audit import note
from dispatcher.db import Connection, in_transaction
from dispatcher.rules.problem import FieldProblem, not_found
from dispatcher.stages.report.masks import show_address
from dispatcher.web.answers import Reply, WebRefusedError
from dispatcher.web.customer_models import Stored, SuppressionView
from dispatcher.web.lists import Page, PageQuery, bad_cursor, page_reply, position
from dispatcher.web.reading import NoQuery
from dispatcher.web.routing import POOL_WAIT_S, Call
from dispatcher.web.scopes import Scope
from segments.model import Channel, SuppressionReason
from segments.suppressions import Why, add_suppression, list_suppressions, remove_suppression


class SuppressionIn(BaseModel):
    """One address of one channel."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    channel: Literal["email", "sms", "banner"]
    address: str = Field(min_length=1, max_length=320)

    @property
    def code(self) -> Channel:
        """The channel as stored."""
        return Channel[self.channel.upper()]


ReasonWord = Literal["operator", "opted_out", "bounced", "complained", "refused_by_provider"]


class SuppressionQuery(PageQuery):
    """`channel`, `reason`: only addresses of this one, and for this."""

    channel: Literal["email", "sms", "banner"] | None = None
    reason: ReasonWord | None = None


class SuppressionPage(Page[SuppressionView]):
    """Suppressed addresses, in the order of their hashes."""


async def list_all(call: Call[None, SuppressionQuery]) -> Reply:
    """Masked without recipients:read_pii."""
    after = b"", 0
    if (place := position(call.query, (str, int))) is not None:
        try:
            after = bytes.fromhex(place[0]), Channel(place[1])
        except ValueError:
            raise bad_cursor() from None
    query = call.query
    async with call.connection() as conn:
        rows = await list_suppressions(
            conn,
            after=after,
            limit=query.limit + 1,
            channel=Channel[query.channel.upper()] if query.channel else None,
            reason=SuppressionReason[query.reason.upper()] if query.reason else None,
        )
    read_pii = call.caller.may(Scope.RECIPIENTS_READ_PII)
    views = []
    for row in rows:
        kind = ChannelKind.from_code(row.channel)
        views.append(
            SuppressionView(
                channel=kind,
                address=show_address(kind, row.address, read_pii=read_pii) or None,
                reason=row.reason.name.lower(),
                source=row.source,
                at=row.at,
            )
        )
    keys = [(row.address_hash.hex(), int(row.channel)) for row in rows]
    return page_reply(call, views, keys, SuppressionPage)


async def add(call: Call[SuppressionIn, NoQuery]) -> Reply:
    """Never use this address again; 201 when that is new."""
    ctx, body = call.ctx, call.body

    async def work(conn: Connection) -> bool:
        now, why = ctx.now(), Why(SuppressionReason.OPERATOR, call.actor)
        try:
            added = await add_suppression(
                conn, body.code, body.address, why, hash_key=ctx.address_key, now=now
            )
        except ValueError:
            raise _no_address(body) from None
        if added:
            await note(conn, at=now, actor=call.actor, action="suppression.add", thing=body.channel)
        return added

    added = await in_transaction(ctx.pool, work, rng=ctx.rng, wait_s=POOL_WAIT_S)
    return Reply(Stored(result="added" if added else "unchanged"), 201 if added else 200)


async def remove(call: Call[SuppressionIn, NoQuery]) -> Reply:
    """Allow an address again."""
    ctx, body = call.ctx, call.body

    async def work(conn: Connection) -> None:
        try:
            removed = await remove_suppression(
                conn, body.code, body.address, hash_key=ctx.address_key
            )
        except ValueError:
            raise _no_address(body) from None
        if not removed:
            raise not_found("suppression")
        now, actor = ctx.now(), call.actor
        await note(conn, at=now, actor=actor, action="suppression.remove", thing=body.channel)

    await in_transaction(ctx.pool, work, rng=ctx.rng, wait_s=POOL_WAIT_S)
    return Reply(Stored(result="removed"))


def _no_address(body: SuppressionIn) -> WebRefusedError:
    words = {"email": "an e-mail address", "sms": "a phone number such as +1 202 555 0123"}
    detail = f"This is not {words.get(body.channel, 'an app user id')}"
    finding = FieldProblem("/address", "invalid_address", detail)
    return WebRefusedError("invalid-request", problems=[finding])
