"""The accounts of one update: counted by the roll-up, read in pages, worst first."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg

from channels.model import ChannelKind
from dispatcher.db import Connection
from dispatcher.ids import ForgedIdError, Signer
from dispatcher.rules.own import OWN_ACCOUNT, told_own
from dispatcher.rules.problem import invalid, not_found
from dispatcher.rules.states import Shown
from dispatcher.stages.report.kinds import Standing
from dispatcher.stages.report.model import AccountPage, AccountRow, AccountStanding

MAX_LIMIT: Final = 200
_CURSOR: Final = "acc"

_COUNTED: Final = f"""
messages as materialized (
    select account_id, sum(n)::int as n,
           array_agg(array[channel, shown, n] order by channel, shown) as cells
    from (select r.account_id, r.channel::int, k.shown::int, count(*)::int as n
          from report_row r join report_kind k on k.kind = r.kind
          where r.account_id <> 0 group by r.account_id, r.channel, k.shown) as m
    group by account_id
), folk as materialized (
    select account_id, count(*)::int as people, min(told_at) as at,
           count(*) filter (where standing = {Standing.NOTIFIED:d})::int as notified,
           count(*) filter (where standing in ({Standing.UNDER_WAY:d}, {Standing.UNPROVEN:d}))::int as waiting,
           count(*) filter (where standing = {Standing.UNCONFIRMED:d})::int as unconfirmed,
           count(*) filter (where standing = {Standing.NOT_REACHED:d})::int as not_reached
    from report_person group by account_id
), counted as (
    select m.account_id, m.n, m.cells, f.at, lower(a.name) as sort_name, coalesce(f.people, 0) as people,
           coalesce(f.notified, 0) as notified, coalesce(f.waiting, 0) as waiting,
           coalesce(f.unconfirmed, 0) as unconfirmed, coalesce(f.not_reached, 0) as not_reached,
           case when f.unconfirmed + f.not_reached > 0
                then case when f.notified + f.waiting = 0 then {AccountStanding.NOT_TOLD:d}
                          else {AccountStanding.PARTLY_TOLD:d} end
                when f.waiting > 0 then {AccountStanding.WAITING:d}
                when f.notified > 0 then {AccountStanding.TOLD:d}
                else {AccountStanding.WITHDRAWN:d} end::smallint as standing
    from messages m join account a on a.id = m.account_id left join folk f on f.account_id = m.account_id
)
"""
_KEPT: Final = (
    "n, cells, first_told_at, people, notified, waiting, unconfirmed, not_reached, standing"
)
STORE_SQL: Final = f"""
with {_COUNTED}
insert into account_update as u (account_id, update_id, sort_name, {_KEPT})
select account_id, $1, sort_name, n, cells, at, people, notified, waiting, unconfirmed, not_reached, standing
from counted order by account_id
on conflict (account_id, update_id) do update
    set sort_name = excluded.sort_name, n = excluded.n, cells = excluded.cells,
        first_told_at = excluded.first_told_at, people = excluded.people, notified = excluded.notified,
        waiting = excluded.waiting, unconfirmed = excluded.unconfirmed,
        not_reached = excluded.not_reached, standing = excluded.standing
where (u.n, u.cells, u.first_told_at, u.people, u.notified, u.waiting, u.unconfirmed, u.not_reached,
       u.standing) is distinct from
      (excluded.n, excluded.cells, excluded.first_told_at, excluded.people, excluded.notified,
       excluded.waiting, excluded.unconfirmed, excluded.not_reached, excluded.standing)
"""
UNLIKE_SQL: Final = f"""
with {_COUNTED}, kept as (select account_id, {_KEPT} from account_update where update_id = $1)
select account_id from counted c full join kept k using (account_id)
where (c.n, c.cells, c.at, c.people, c.notified, c.waiting, c.unconfirmed, c.not_reached, c.standing)
      is distinct from (k.n, k.cells, k.first_told_at, k.people, k.notified, k.waiting, k.unconfirmed,
                        k.not_reached, k.standing)
order by account_id
"""
DISPATCH_SQL: Final = """
select d.update_id, r.made_at from dispatch d left join dispatch_report r on r.dispatch_id = d.id
where d.id = $1
"""
OWN_DISPATCH_SQL: Final = f"{DISPATCH_SQL} and {told_own('d.update_id')}"
# Where the page before ended: its standing is part of the cursor, so that a row that has moved since
# tears no hole into the list.
NAME_SQL: Final = """
select sort_name from account_update where account_id = $1 and update_id = $2
"""


def _page_sql(narrowed: str) -> str:
    return f"""
with p as materialized (
    select account_id from account_update
    where update_id = $1 and standing <= $2::smallint {narrowed}
      and (standing, sort_name, account_id) > ($3::smallint, $4::text, $5::bigint)
      and ($6::text = '' or strpos(sort_name, lower($6)) > 0)
    order by standing, sort_name, account_id limit $7
)
select u.account_id, u.standing, u.people, u.notified, u.waiting, u.unconfirmed, u.not_reached,
       u.first_told_at, u.cells, a.external_id, a.name, a.segment, a.manager_name
from account_update u join account a on a.id = u.account_id and a.id = any(array(select account_id from p))
where u.update_id = $1 and u.account_id = any(array(select account_id from p))
order by u.standing, u.sort_name, u.account_id
"""


# The index holds everything that narrows and orders, so only the rows of the page are fetched. One
# standing alone is a range of it: both bounds are always there, so that every plan begins and ends there.
PAGE_SQL: Final = _page_sql("")
OWN_PAGE_SQL: Final = _page_sql(f"and account_id {OWN_ACCOUNT}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowed:
    """To names that contain `search`, in whatever case; accounts that stand so; `own` accounts."""

    search: str = ""
    standing: AccountStanding | None = None
    own: bool = False


_ALL: Final = Narrowed()


async def accounts_page(
    conn: Connection,
    dispatch_id: int,
    *,
    signer: Signer,
    limit: int = 50,
    cursor: str | None = None,
    to: Narrowed = _ALL,
) -> AccountPage:
    """Up to `limit` (1 to 200) accounts of a dispatch, worst first, then by name.

    Narrowed to own accounts, a dispatch that was for none of them is not there.
    Raises RefusedError: 404 for an unknown dispatch, 422 for a cursor that is not ours or a wrong limit.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise invalid("limit", "out_of_range", f"limit must be between 1 and {MAX_LIMIT}")
    dispatch = await conn.fetchrow(OWN_DISPATCH_SQL if to.own else DISPATCH_SQL, dispatch_id)
    if dispatch is None:
        raise not_found("dispatch")
    after = await _position(conn, dispatch["update_id"], signer, cursor)
    if cursor is None and to.standing is not None:
        after = to.standing, "", 0
    last = max(AccountStanding) if to.standing is None else to.standing
    sql = OWN_PAGE_SQL if to.own else PAGE_SQL
    rows = await conn.fetch(sql, dispatch["update_id"], last, *after, to.search.strip(), limit + 1)
    more = len(rows) > limit
    return AccountPage(
        dispatch=signer.public_id("dsp", dispatch_id),
        as_of=dispatch["made_at"],
        data=tuple(map(account_row, rows[:limit])),
        next_cursor=_cursor(rows[limit - 1], signer) if more else None,
    )


def account_row(row: asyncpg.Record) -> AccountRow:
    """One row of the page."""
    statuses: Counter[str] = Counter()
    channels: dict[str, dict[str, int]] = defaultdict(dict)
    for channel, status, n in row["cells"]:
        word = Shown(status).word
        statuses[word] += n
        channels[ChannelKind.from_code(channel).value][word] = n
    return AccountRow(
        account=row["external_id"],
        name=row["name"],
        segment=row["segment"],
        manager=row["manager_name"],
        standing=AccountStanding(row["standing"]).word,
        people=row["people"],
        notified=row["notified"],
        waiting=row["waiting"],
        unconfirmed=row["unconfirmed"],
        not_reached=row["not_reached"],
        first_told_at=row["first_told_at"],
        statuses=statuses,
        channels=channels,
    )


def _cursor(row: asyncpg.Record, signer: Signer) -> str:
    return signer.public_id(_CURSOR, row["account_id"] << 3 | row["standing"])


async def _position(
    conn: Connection, update_id: int, signer: Signer, cursor: str | None
) -> Sequence[object]:
    """Standing, name and number of the last account seen."""
    if cursor is None:
        return -1, "", 0
    try:
        both = signer.read_public_id(_CURSOR, cursor)
    except ForgedIdError:
        raise invalid("cursor", "malformed", "Use next_cursor as it was given") from None
    account, standing = both >> 3, both & 7
    return standing, await conn.fetchval(NAME_SQL, account, update_id) or "", account
