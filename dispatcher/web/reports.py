"""Reports: one dispatch, its accounts, and what one account was told."""

from typing import Annotated

from pydantic import Field

from dispatcher.rules.problem import RefusedError
from dispatcher.stages.report import (
    AccountStanding,
    Narrowed,
    Which,
    account_deliveries,
    account_in_dispatch,
    accounts_page,
    dispatch_report,
)
from dispatcher.stages.report.model import StandingWord
from dispatcher.web.answers import Reply
from dispatcher.web.ids import DISPATCH, number_of
from dispatcher.web.lists import PageQuery, bad_cursor, next_link
from dispatcher.web.routing import Call, Plain
from dispatcher.web.scopes import Scope
from templates.facts import Moment


class AccountsQuery(PageQuery):
    """`search`: names that contain it, in whatever case; `standing`: accounts that stand so."""

    search: Annotated[str, Field(max_length=200)] = ""
    standing: StandingWord | None = None


class AccountDeliveriesQuery(PageQuery):
    """`since`, `until`: only what was said from then on, and before then."""

    since: Moment | None = None
    until: Moment | None = None


async def get_report(call: Plain) -> Reply:
    """Totals, people, funnels, failures by reason, the curve, and who could not be reached."""
    ctx = call.ctx
    number = number_of(ctx, DISPATCH, call.path("dispatch_id"))
    async with call.connection() as conn:
        report = await dispatch_report(
            conn,
            number,
            signer=ctx.signer,
            policy=ctx.policy,
            now=ctx.now(),
            read_pii=call.caller.may(Scope.RECIPIENTS_READ_PII),
        )
    return Reply(report)


async def list_accounts(call: Call[None, AccountsQuery]) -> Reply:
    """The customers of a dispatch, worst first, then by name: who was told, when first, and how many."""
    ctx, query = call.ctx, call.query
    number = number_of(ctx, DISPATCH, call.path("dispatch_id"))
    async with call.connection() as conn:
        try:
            page = await accounts_page(
                conn,
                number,
                signer=ctx.signer,
                limit=query.limit,
                cursor=query.cursor,
                to=Narrowed(
                    search=query.search,
                    standing=AccountStanding[query.standing.upper()] if query.standing else None,
                    own=call.caller.limited,
                ),
            )
        except RefusedError as refused:
            if refused.kind == "invalid-request":
                raise bad_cursor() from None
            raise
    return Reply(page, headers=next_link(call, page.next_cursor))


async def get_account(call: Plain) -> Reply:
    """One customer of a dispatch: each delivery with its history, and who must be phoned."""
    ctx = call.ctx
    number = number_of(ctx, DISPATCH, call.path("dispatch_id"))
    async with call.connection() as conn:
        found = await account_in_dispatch(
            conn,
            number,
            call.path("external_id"),
            signer=ctx.signer,
            read_pii=call.caller.may(Scope.RECIPIENTS_READ_PII),
            own=call.caller.limited,
        )
    return Reply(found)


async def list_account_deliveries(call: Call[None, AccountDeliveriesQuery]) -> Reply:
    """What this account was told, and when, update by update, newest first."""
    ctx, query = call.ctx, call.query
    async with call.connection() as conn:
        try:
            page = await account_deliveries(
                conn,
                call.path("external_id"),
                signer=ctx.signer,
                limit=query.limit,
                cursor=query.cursor,
                to=Which(call.caller.limited, query.since, query.until),
                read_pii=call.caller.may(Scope.RECIPIENTS_READ_PII),
            )
        except RefusedError as refused:
            if refused.kind == "invalid-request":
                raise bad_cursor() from None
            raise
    return Reply(page, headers=next_link(call, page.next_cursor))
