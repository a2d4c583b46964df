"""`/reports/{dispatch}/accounts/{account}`: what one customer was told, when, in which words."""

from typing import Final

from aiohttp import web

from dispatcher.rules.problem import RefusedError
from dispatcher.stages.report import account_in_dispatch
from dispatcher.stages.report.account_model import AccountInDispatch
from dispatcher.web.pages import page
from dispatcher.web.receipts import AnyQuery
from dispatcher.web.report_page import words
from dispatcher.web.report_page.data import account_zone, phone_rows, texts_sent
from dispatcher.web.report_page.door import Visit, for_readers
from dispatcher.web.report_page.links import report_path
from dispatcher.web.report_page.pages import POLICY
from dispatcher.web.report_page.view import STANDINGS, Verdict, headline
from dispatcher.web.routing import Call

MOST_PEOPLE: Final = 200


@for_readers
async def get_account_page(call: Call[None, AnyQuery], visit: Visit) -> web.StreamResponse:
    """Whom to phone there, the words they were sent, and every message person by person."""
    ctx, external_id = call.ctx, call.path("external_id")
    async with call.connection() as conn:
        try:
            account = await account_in_dispatch(
                conn,
                visit.dispatch,
                external_id,
                signer=ctx.signer,
                read_pii=visit.read_pii,
                own=call.caller.limited,
            )
        except RefusedError as refused:
            if refused.kind != "not-found":
                raise
            return page("gone.html", {}, status=404)
        known = await account_zone(conn, external_id)
        number_, zone = known or (0, "UTC")
        phone = await phone_rows(conn, account.not_reached, account.ask, read_pii=visit.read_pii)
        texts = await texts_sent(conn, visit.dispatch, number_, name=account.name, zone=zone)
    names = {
        "words": words,
        "brand": ctx.settings.brand,
        "base": report_path(ctx.signer, visit.dispatch),
        "bound": visit.account is not None,
        "account": account,
        "headline": _headline(account),
        "people": account.people[:MOST_PEOPLE],
        "phone": phone,
        "read_pii": visit.read_pii,
        "standings": STANDINGS,
        "texts": texts,
        "zone": zone,
        "on": account.update.at,
        "made_at": ctx.now(),
        "until": visit.until,
    }
    return page("report_account.html", names, policy=POLICY)


def _headline(account: AccountInDispatch) -> tuple[Verdict, ...]:
    """How many of theirs were told, and how many must be phoned."""
    told = sum(person.standing == "notified" for person in account.people)
    return headline(len(account.people), told, len(account.not_reached) + len(account.ask))
