"""The report of one dispatch, put together from what is kept: no delivery is read, however many there are."""

from collections import Counter, defaultdict
from datetime import datetime
from functools import partial
from typing import Any, Final

import asyncpg

from channels.model import ChannelKind
from dispatcher.db import Connection
from dispatcher.ids import Signer
from dispatcher.rules.policy import Policy
from dispatcher.rules.problem import not_found
from dispatcher.rules.states import Shown
from dispatcher.stages.report.accounts import accounts_page
from dispatcher.stages.report.count import LIST_LIMIT
from dispatcher.stages.report.document import read_document, references
from dispatcher.stages.report.header import (
    first_notice,
    incident_header,
    read_header,
    update_header,
)
from dispatcher.stages.report.lists import names, person_rows
from dispatcher.stages.report.model import Curve, DispatchReport
from dispatcher.stages.report.people import failure_rows, people_rows
from dispatcher.stages.report.rollup import count_now, is_behind, mark

SMALL: Final = 20_000
"""Deliveries that are counted while somebody waits for the report: some 0.3 s."""
ACCOUNTS_SHOWN: Final = 100

LATEST_SQL: Final = """
select max(id) from dispatch d where not exists (select from canary_update k where k.update_id = d.update_id)
"""
SIZE_SQL: Final = """
select coalesce(sum(s.n), 0)::bigint from dispatch d join slice s on s.dispatch_id = d.id
where d.update_id = $1
"""
TOTALS_SQL: Final = """
select s.channel, t.i - 1 as status, sum(t.n)::bigint as n
from slice s, unnest(s.n_by_status) with ordinality as t(n, i)
where s.dispatch_id = $1 group by s.channel, t.i having sum(t.n) <> 0 order by t.i, s.channel
"""


async def latest_dispatch(conn: Connection) -> int | None:
    """The newest dispatch; None when nothing was ever sent."""
    found: int | None = await conn.fetchval(LATEST_SQL)
    return found


async def totals(conn: Connection, dispatch_id: int) -> dict[str, int]:
    """Messages by status word, from the slices' counters."""
    return dict((await _totals(conn, dispatch_id))[0])


async def _totals(
    conn: Connection, dispatch_id: int
) -> tuple[Counter[str], dict[str, dict[str, int]]]:
    whole: Counter[str] = Counter()
    channels: dict[str, dict[str, int]] = defaultdict(dict)
    for row in await conn.fetch(TOTALS_SQL, dispatch_id):
        word = Shown(row["status"]).word
        whole[word] += row["n"]
        channels[ChannelKind.from_code(row["channel"]).value][word] = row["n"]
    return whole, channels


async def dispatch_report(
    conn: Connection,
    dispatch_id: int,
    *,
    signer: Signer,
    policy: Policy,
    now: datetime,
    list_limit: int = LIST_LIMIT,
    read_pii: bool = False,
) -> DispatchReport:
    """Everything about one fan-out. A small one that has changed is counted anew on the spot.

    Without `read_pii` names of people are masked. `list_limit` cuts the lists of accounts and people.
    Raises RefusedError (404) when there is none.
    """
    header, stale = await _up_to_date(conn, dispatch_id, policy=policy, now=now)
    whole, channels = await _totals(conn, dispatch_id)
    kept = await _kept(conn, header, signer, now=now, list_limit=list_limit, read_pii=read_pii)
    return DispatchReport(
        dispatch=signer.public_id("dsp", dispatch_id),
        state=header["state"],
        paused=header["paused_at"] is not None,
        wave=header["wave"],
        incident=incident_header(header, signer),
        update=update_header(header, signer),
        decided_at=header["created_at"],
        planned_at=header["planned_at"],
        completed_at=header["completed_at"],
        made_at=now,
        totals=whole,
        channels=channels,
        stale=stale,
        **kept,
    )


async def _up_to_date(
    conn: Connection, dispatch_id: int, *, policy: Policy, now: datetime
) -> tuple[asyncpg.Record, bool]:
    """The header with what is kept, and whether that is behind the facts."""
    for last in (False, True):
        header = await read_header(conn, dispatch_id)
        if header is None:
            raise not_found("dispatch")
        current, deadline = await mark(conn, dispatch_id), first_notice(header, policy)
        behind = is_behind(header, current, deadline)
        if last or not behind or await conn.fetchval(SIZE_SQL, header["update_id"]) > SMALL:
            return header, behind
        await count_now(conn, dispatch_id, policy=policy, now=now)
    raise AssertionError("the loop returns")


async def _kept(
    conn: Connection,
    header: asyncpg.Record,
    signer: Signer,
    *,
    now: datetime,
    list_limit: int,
    read_pii: bool,
) -> dict[str, Any]:
    """What was counted, in words and with names; empty where nothing has been counted yet."""
    document = read_document(header["document"])
    if document is None:
        return _NOTHING_YET
    lost, ask = document.not_reached, document.ask
    known = await names(conn, references((lost, ask)))
    people = partial(person_rows, known=known, limit=list_limit, read_pii=read_pii)
    page = await accounts_page(
        conn, header["id"], signer=signer, limit=min(list_limit, ACCOUNTS_SHOWN)
    )
    return {
        "as_of": header["made_at"],
        "people": people_rows(document.segments, header["deadline"], now=now),
        "funnel": document.funnel,
        "failures": failure_rows(document.failures),
        "curve": document.curve,
        "accounts": page.data,
        "accounts_total": document.accounts,
        "accounts_cursor": page.next_cursor,
        "not_reached": people(lost),
        "not_reached_total": lost.total,
        "ask": people(ask),
        "ask_total": ask.total,
    }


_NOTHING_YET: Final[dict[str, Any]] = {
    "as_of": None,
    "people": (),
    "funnel": (),
    "failures": (),
    "curve": Curve(people=0, series={}),
    "accounts": (),
    "accounts_total": 0,
    "accounts_cursor": None,
    "not_reached": (),
    "not_reached_total": 0,
    "ask": (),
    "ask_total": 0,
}
