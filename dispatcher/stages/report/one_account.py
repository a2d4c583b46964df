"""One account in one dispatch: what each of its people was told and when, and who must be phoned."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg

from dispatcher.db import Connection
from dispatcher.ids import Signer
from dispatcher.rules.problem import not_found
from dispatcher.rules.states import SENT_AT, SETTLED_AT, Purpose
from dispatcher.stages.report.account_model import AccountInDispatch, PersonInDispatch
from dispatcher.stages.report.deliveries import Found, account_rows, find_account
from dispatcher.stages.report.gather import TOLD_CODES
from dispatcher.stages.report.header import incident_header, read_subject, update_header
from dispatcher.stages.report.kinds import KIND, Standing, account_standing, kind
from dispatcher.stages.report.lists import whys
from dispatcher.stages.report.model import PersonRow
from segments.model import Exclusion

# The messages to the shared inboxes that cover these people, whoever's they are; each by its key.
COVER_SQL: Final = f"""
select ce.contact_id, ce.channel, {KIND} as kind, coalesce(p.at, {SETTLED_AT}, {SENT_AT}) as told_at
from unnest($2::bigint[], $3::smallint[]) as c(contact_id, channel)
join contact_endpoint ce on ce.contact_id = c.contact_id and ce.channel = c.channel
join delivery d on d.update_id = $1 and d.channel = ce.channel and d.endpoint_id = ce.endpoint_id
               and d.purpose = {Purpose.NOTICE:d}
join slice s on s.id = d.slice_id and s.dispatch_id = $4
left join lateral (
    select min(r.at) as at from receipt r
    where r.update_id = $1 and r.channel = d.channel and r.endpoint_id = d.endpoint_id and r.matched
      and r.purpose = {Purpose.NOTICE:d} and r.fact = any($5::smallint[])) p on true
"""
_ORDER: Final = (Standing.NOT_REACHED, Standing.UNCONFIRMED, Standing.UNDER_WAY, Standing.UNPROVEN)
_WORST_FIRST: Final = {
    standing.word: _ORDER.index(standing) if standing in _ORDER else len(_ORDER) + standing
    for standing in Standing
}


class _Stand(NamedTuple):
    """Where one delivery puts its person."""

    standing: Standing
    told_at: datetime | None


async def account_in_dispatch(
    conn: Connection,
    dispatch_id: int,
    external_id: str,
    *,
    signer: Signer,
    read_pii: bool = False,
    own: bool = False,
) -> AccountInDispatch:
    """Every delivery of the account in the dispatch with its history, person by person, found by key.

    Without `read_pii` names and addresses are masked. `own`: only an own account is there. Raises
    RefusedError (404) for an unknown dispatch or account, or one that the dispatch was not for.
    """
    header = await read_subject(conn, dispatch_id)
    if header is None:
        raise not_found("dispatch")
    account = await find_account(conn, external_id, own=own)
    found = []
    if account is not None:
        rows = await account_rows(conn, account["id"], [header["update_id"]], read_pii=read_pii)
        found = [item for item in rows if item.dispatch_id == dispatch_id]
    if account is None or not found:
        raise not_found("account in this dispatch")
    stands = await _covered(conn, header, found)
    people = _people(found, stands)
    counts = Counter(person.standing for person in people)
    return AccountInDispatch(
        dispatch=signer.public_id("dsp", dispatch_id),
        incident=incident_header(header, signer),
        update=update_header(header, signer),
        account=account["external_id"],
        name=account["name"],
        segment=account["segment"],
        manager=account["manager_name"],
        standing=account_standing({Standing[word.upper()]: n for word, n in counts.items()}).word,
        first_told_at=min((at for person in people if (at := person.first_told_at)), default=None),
        people=people,
        not_reached=_to_tell(found, people, account, Standing.NOT_REACHED),
        ask=_to_tell(found, people, account, Standing.UNCONFIRMED),
    )


async def _covered(
    conn: Connection, header: asyncpg.Record, found: Sequence[Found]
) -> Mapping[tuple[int | None, int], _Stand]:
    """Where the shared inboxes put the people they cover, by contact and channel."""
    covered = [item for item in found if item.reason == Exclusion.SHARED_INBOX]
    if not covered:
        return {}
    rows = await conn.fetch(
        COVER_SQL,
        header["update_id"],
        [item.contact_id for item in covered],
        [item.channel for item in covered],
        header["id"],
        TOLD_CODES,
    )
    stands: dict[tuple[int | None, int], _Stand] = {}
    for row in rows:
        its = kind(row["kind"]).standing
        told = row["told_at"] if its is Standing.NOTIFIED else None
        key = row["contact_id"], row["channel"]
        if key not in stands or its < stands[key].standing:
            stands[key] = _Stand(its, told)
    return stands


def _people(
    found: Sequence[Found], covered: Mapping[tuple[int | None, int], _Stand]
) -> tuple[PersonInDispatch, ...]:
    """Worst first, then by name."""
    by_person: dict[int | None, list[Found]] = defaultdict(list)
    for item in found:
        by_person[item.contact_id].append(item)
    people = []
    for items in by_person.values():
        stands = [
            covered.get((item.contact_id, item.channel), _Stand(item.kind.standing, item.told_at))
            for item in items
            if item.notice
        ]
        if stands:
            people.append(
                PersonInDispatch(
                    contact=items[0].row.contact,
                    name=items[0].row.name,
                    standing=min(stand.standing for stand in stands).word,
                    first_told_at=min((s.told_at for s in stands if s.told_at), default=None),
                    deliveries=tuple(item.row for item in items),
                )
            )
    return tuple(sorted(people, key=lambda person: (_WORST_FIRST[person.standing], person.name)))


def _to_tell(
    found: Sequence[Found],
    people: Sequence[PersonInDispatch],
    account: asyncpg.Record,
    standing: Standing,
) -> tuple[PersonRow, ...]:
    """The people who stand so, with what was tried and why it failed."""
    tried = {id(item.row): item for item in found if item.notice}
    return tuple(
        PersonRow(
            contact=person.contact,
            name=person.name,
            account=account["external_id"],
            account_name=account["name"],
            segment=account["segment"],
            why=whys(
                (item.channel, item.kind.shown, item.reason)
                for row in person.deliveries
                if (item := tried.get(id(row)))
            ),
        )
        for person in people
        if person.standing == standing.word
    )
