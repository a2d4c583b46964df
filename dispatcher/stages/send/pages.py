"""Write what providers answered, for many slices in one transaction.

A late answer may add facts, never move anything backwards.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg

from channels.model import ChannelKind, Deferred, Fact, Reason
from dispatcher import tally
from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.rules.backoff import backoff
from dispatcher.rules.policy import RETRY_LANE
from dispatcher.rules.reasons import suppression_reason
from dispatcher.rules.receipts import stored
from dispatcher.rules.states import (
    STATUS_COUNT,
    DeliveryState,
    Shown,
    SliceState,
    bit,
    fact_code,
)
from dispatcher.stages.send.answers import Answers, Page
from dispatcher.stages.send.breaker import Said, listen
from dispatcher.stages.send.claim import Claim
from dispatcher.stages.send.record import Where, postpone, settle_many, where
from dispatcher.stages.send.turn import turned

# Locked, so that nobody can judge the slices between this look and our writing; in the order in which
# everybody locks several.
OWN_SQL = f"""
select s.id, s.epoch, s.intent_at from slice s join unnest($1::bigint[], $2::int[]) as t(id, epoch)
    on s.id = t.id and s.epoch = t.epoch
where s.id = any($1::bigint[]) and s.state = {SliceState.IN_FLIGHT:d}
order by s.id for update of s
"""
# The address rows are found through the deliveries, so no address passes through this process twice.
SUPPRESS_SQL = """
insert into suppression (channel, address_hash, reason, source, at)
select a.channel, a.hash, $6::smallint, 'provider', $5
from delivery d join address a on a.id = d.address_id
where d.update_id = $1 and d.channel = $2 and d.purpose = $3 and d.endpoint_id = any($4::bigint[])
  and a.hash is not null
on conflict do nothing
"""
REFERENCES_SQL = """
insert into receipt (day, update_id, endpoint_id, channel, purpose, attempt, fact, matched, at, provider_ref)
select ($6::timestamptz at time zone 'UTC')::date, $1, t.endpoint_id, $2, $3, $5, $7, true, $6, t.ref
from unnest($4::bigint[], $8::text[]) as t(endpoint_id, ref)
"""
RECEIPT_DAY_SQL = "select ensure_receipt_partition(($1::timestamptz at time zone 'UTC')::date)"
# What was shown as being sent is shown as accepted: places of `Shown` in an array that counts from 1.
ALL_TAKEN_SQL = f"""
update slice set state = {SliceState.DONE:d}, ended_at = $3::timestamptz,
       provider_ref = coalesce(nullif($4, ''), provider_ref),
       n_by_status[{Shown.ACCEPTED + 1}] = n_by_status[{Shown.ACCEPTED + 1}] + n_by_status[{Shown.SENDING + 1}],
       n_by_status[{Shown.SENDING + 1}] = 0
where id = $1 and epoch = $2 and state = {SliceState.IN_FLIGHT:d} returning intent_at
"""
UNANSWERED_SQL = f"""
select slice_id, attempt, evidence, count(*) as n from delivery
where update_id = $1 and channel = $2 and purpose = $3 and endpoint_id = any($4::bigint[])
  and slice_id = any($5::bigint[]) and state = {DeliveryState.PLANNED:d}
group by 1, 2, 3
"""
FINISH_SQL = f"""
update slice s set state = t.state,
       ended_at = case when t.state = {SliceState.DONE:d} then $5::timestamptz end,
       ambiguous_at = case when t.state = {SliceState.AMBIGUOUS:d} then $5::timestamptz end,
       provider_ref = coalesce(nullif(t.ref, ''), s.provider_ref), detail = t.detail
from unnest($1::bigint[], $2::smallint[], $3::text[], $4::text[]) as t(id, state, ref, detail)
where s.id = t.id and s.id = any($1::bigint[])
"""
LATE_SQL = "insert into receipt_batch (provider, received_at, receipts) values ($1, $2, $3)"


class _Answered(NamedTuple):
    """One delivery with an answer."""

    slice_id: int
    endpoint: int
    reference: str = ""


class _Outcome(NamedTuple):
    """What deliveries may share, so that one statement settles them whatever slices they are in."""

    place: Where
    attempt: int
    state: DeliveryState
    reason: int = 0
    fact: Fact | None = None
    suppress: bool = False


async def write(
    conn: Connection, ctx: Context, pages: Sequence[Page], *, now: datetime, ensured: bool = False
) -> bool:
    """Write what providers said; `ensured`: receipts of this day have their partition.

    Returns whether they have it now. The caller owns the transaction.
    """
    ids, epochs = [page.held.id for page in pages], [page.held.epoch for page in pages]
    owned = {
        (row["id"], row["epoch"]): row["intent_at"]
        for row in await conn.fetch(OWN_SQL, ids, epochs)
    }
    ours = [page for page in pages if (page.held.id, page.held.epoch) in owned]
    said = [_said(ctx, page, owned[page.held.id, page.held.epoch]) for page in ours]
    moves: dict[int, Counter[int]] = defaultdict(Counter)
    for outcome, answered in _alike(ours).items():
        if outcome.fact is not None and not ensured:
            await conn.execute(RECEIPT_DAY_SQL, now)
            ensured = True
        _add(moves, await _write_alike(conn, outcome, answered, now))
    for page in ours:
        for answer, endpoints in page.answers.deferred.items():
            await _write_deferred(conn, ctx, page.held, answer, endpoints, now)
    _add(moves, await _end(conn, [page for page in ours if page.end is not None], now))
    await tally.add(conn, moves, STATUS_COUNT)
    # Last, since others wait for the row of a sender that is in trouble.
    await listen(conn, ctx, said, now=now)
    for page in pages:
        if page not in ours:
            await _write_late(conn, page.held, page.answers, now)
    return ensured


async def write_whole(conn: Connection, ctx: Context, page: Page, *, now: datetime) -> None:
    """Write that one answer took everybody of the slice: one row, however many they are."""
    held, reference = page.held, page.end.reference if page.end else ""
    asked_at = await conn.fetchval(ALL_TAKEN_SQL, held.id, held.epoch, now, reference)
    if asked_at is None:
        await _write_late(conn, held, page.answers, now)
        return
    taken = Counter[int]({Shown.ACCEPTED: len(page.answers.accepted)})
    tally.count_arrivals(held.slice["channel"], taken)
    await listen(conn, ctx, [_said(ctx, page, asked_at)], now=now)


def _said(ctx: Context, page: Page, asked_at: datetime) -> Said:
    row = page.held.slice
    channel = ctx.channels[ChannelKind.from_code(row["channel"])]
    heard = page.answers.heard(one_request=channel.batch_limit > 1)
    return Said(row["sender_id"], asked_at, heard)


def _alike(pages: Sequence[Page]) -> dict[_Outcome, list[_Answered]]:
    found: dict[_Outcome, list[_Answered]] = defaultdict(list)
    for page in pages:
        row = page.held.slice
        place, attempt = where(row), row["attempt"]
        for endpoint, answer in page.answers.accepted.items():
            outcome = _Outcome(place, attempt, DeliveryState.ACCEPTED, fact=answer.fact)
            found[outcome].append(_Answered(row["id"], endpoint, answer.provider_ref or ""))
        for (reason, suppress), endpoints in page.answers.rejected.items():
            outcome = _Outcome(place, attempt, DeliveryState.REJECTED, reason, suppress=suppress)
            found[outcome] += [_Answered(row["id"], endpoint) for endpoint in endpoints]
    return found


async def _write_alike(
    conn: Connection, outcome: _Outcome, answered: Sequence[_Answered], now: datetime
) -> dict[int, Counter[int]]:
    endpoints = [one.endpoint for one in answered]
    moves = await settle_many(
        conn,
        outcome.place,
        endpoints,
        list({one.slice_id for one in answered}),
        (outcome.state, outcome.reason, bit(outcome.fact) if outcome.fact else 0, now),
    )
    if outcome.suppress:
        why = suppression_reason(outcome.reason)
        await conn.execute(SUPPRESS_SQL, *outcome.place, endpoints, now, why)
    # One request for many has one reference, kept on the slice; one request each keeps one each.
    if outcome.fact is not None and outcome.place[1] != ChannelKind.EMAIL.code:
        await conn.execute(
            REFERENCES_SQL,
            *outcome.place,
            endpoints,
            outcome.attempt,
            now,
            fact_code(outcome.fact),
            [one.reference for one in answered],
        )
    return moves


def _add(moves: dict[int, Counter[int]], more: Mapping[int, Counter[int]]) -> None:
    for slice_id, change in more.items():
        # Not `+=`: that would forget what is below zero.
        moves[slice_id].update(change)


async def _end(conn: Connection, pages: Sequence[Page], now: datetime) -> dict[int, Counter[int]]:
    """End slices: done, or ambiguous where the answer for some of it is missing."""
    if not pages:
        return {}
    left = await _unanswered(conn, pages)
    states = [SliceState.AMBIGUOUS if page.held.id in left else SliceState.DONE for page in pages]
    await conn.execute(
        FINISH_SQL,
        [page.held.id for page in pages],
        states,
        [page.end.reference if page.end else "" for page in pages],
        [page.end.detail[:200] if page.end else "" for page in pages],
        now,
    )
    return {
        slice_id: turned(groups, SliceState.IN_FLIGHT, SliceState.AMBIGUOUS)
        for slice_id, groups in left.items()
    }


async def _unanswered(conn: Connection, pages: Sequence[Page]) -> dict[int, list[asyncpg.Record]]:
    """The undecided deliveries by slice, see `turn.planned`; slices without any are left out."""
    by_place: dict[Where, list[asyncpg.Record]] = defaultdict(list)
    for page in pages:
        by_place[where(page.held.slice)].append(page.held.slice)
    left: dict[int, list[asyncpg.Record]] = defaultdict(list)
    for place, rows in by_place.items():
        endpoints = [endpoint for row in rows for endpoint in row["endpoint_ids"]]
        ids = [row["id"] for row in rows]
        for group in await conn.fetch(UNANSWERED_SQL, *place, endpoints, ids):
            left[group["slice_id"]].append(group)
    return left


async def _write_deferred(
    conn: Connection,
    ctx: Context,
    held: Claim,
    answer: Deferred,
    endpoints: list[int],
    now: datetime,
) -> None:
    row = held.slice
    lane, attempt, until = row["lane"], row["attempt"], row["not_before"]
    # What a whole sender was refused, or nobody was asked about, burnt no attempt and is as due as before.
    spared = answer.reason is Reason.NOT_TRIED and answer.retry_after == timedelta(0)
    if not (answer.sender_wide or spared):
        limits = ctx.policy.backoff
        pause = answer.retry_after or backoff(
            attempt, base=limits.base, cap=limits.cap, rng=ctx.rng
        )
        lane, attempt = RETRY_LANE, min(attempt + 1, 250)
        until = now + max(pause, timedelta(milliseconds=100))
    await postpone(
        conn,
        row,
        endpoints,
        lane=lane,
        attempt=attempt,
        until=until,
        detail=answer.detail[:200],
        now=now,
    )


async def _write_late(conn: Connection, held: Claim, answers: Answers, now: datetime) -> None:
    """Somebody else has judged the slice meanwhile: what we know becomes evidence, like any receipt."""
    row = held.slice
    at = now.timestamp()
    facts = [
        stored(
            [row["update_id"], row["channel"], endpoint, row["purpose"], row["attempt"]],
            fact_code(answer.fact),
            at,
            ref=answer.provider_ref or "",
        )
        for endpoint, answer in answers.accepted.items()
    ]
    if facts:
        await conn.execute(LATE_SQL, "late", now, facts)
