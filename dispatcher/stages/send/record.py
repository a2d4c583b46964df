"""Record answers: set-based, by outcome. A late answer may add facts, never move anything backwards."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import assert_never

import asyncpg

from channels.model import Accepted, ChannelKind, Deferred, Reason, Rejected, SendResult, Unclear
from dispatcher import tally
from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.rules.backoff import backoff
from dispatcher.rules.policy import RETRY_LANE
from dispatcher.rules.reasons import Decision, suppression_reason
from dispatcher.rules.receipts import stored
from dispatcher.rules.states import (
    STATUS_COUNT,
    DeliveryState,
    Shown,
    SliceState,
    bit,
    fact_code,
    next_attempt,
    shown,
)
from dispatcher.stages.send.claim import Claim
from dispatcher.stages.send.turn import planned, turned

# Locked, so that nobody can judge the slice between this look and our writing.
OWN_SQL = f"""
select 1 from slice where id = $1 and epoch = $2 and state = {SliceState.IN_FLIGHT:d} for update
"""
SETTLE_SQL = f"""
with o as materialized (
    select endpoint_id, attempt, evidence from delivery
    where update_id = $1 and channel = $2 and purpose = $3 and endpoint_id = any($4::bigint[])
      and slice_id = $5 and state = {DeliveryState.PLANNED:d}
), u as (
    update delivery d set state = $6::smallint, reason = $7::smallint, evidence = d.evidence | $8::int,
           done_at = $9::timestamptz,
           sent_at = case when $6::smallint = {DeliveryState.ACCEPTED:d} then $9::timestamptz
                          else d.sent_at end
    from o
    where d.update_id = $1 and d.channel = $2 and d.purpose = $3 and d.endpoint_id = any($4::bigint[])
      and d.endpoint_id = o.endpoint_id
)
select attempt, evidence, count(*) as n from o group by 1, 2
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
select ($6::timestamptz at time zone 'UTC')::date, $1, t.endpoint_id, $2, $3, t.attempt, $7, true, $6, t.ref
from unnest($4::bigint[], $5::smallint[], $8::text[]) as t(endpoint_id, attempt, ref)
"""
RECEIPT_DAY_SQL = "select ensure_receipt_partition(($1::timestamptz at time zone 'UTC')::date)"
PAUSE_SENDER_SQL = """
update sender set paused_until = greatest(paused_until, $2), paused_why = $3, updated_at = $4 where id = $1
"""
# Rows that must wait move to a slice of their own; a new attempt pushes what is known into the past.
MOVE_SQL = f"""
with o as materialized (
    select endpoint_id, attempt, evidence from delivery
    where update_id = $1 and channel = $2 and purpose = $3 and endpoint_id = any($4::bigint[])
      and slice_id = $5 and state = {DeliveryState.PLANNED:d}
), fresh as (
    insert into slice (update_id, incident_id, dispatch_id, rendering_id, sender_id, channel, purpose, lane,
                       attempt, state, units, n, maybe_duplicate, not_before, expires_at, endpoint_ids,
                       n_by_status, detail)
    select s.update_id, s.incident_id, s.dispatch_id, s.rendering_id, s.sender_id, s.channel, s.purpose,
           $6::smallint, $7::smallint, {SliceState.WAITING:d}, s.units, (select count(*) from o),
           s.maybe_duplicate or $10::boolean, $8, s.expires_at, (select array_agg(endpoint_id) from o),
           array_fill(0, array[{STATUS_COUNT}]), $9
    from slice s where s.id = $5 and exists (select from o)
    returning id
), u as (
    update delivery d set slice_id = fresh.id, attempt = $7::smallint,
           evidence = case when $7::smallint > d.attempt
                           then ((d.evidence & 32767) | (d.evidence >> 16)) << 16 else d.evidence end
    from o, fresh
    where d.update_id = $1 and d.channel = $2 and d.purpose = $3 and d.endpoint_id = any($4::bigint[])
      and d.endpoint_id = o.endpoint_id
)
select fresh.id, o.attempt, o.evidence, count(*) as n from o, fresh group by 1, 2, 3
"""
# What was shown as being sent is shown as accepted: places of `Shown` in an array that counts from 1.
ALL_TAKEN_SQL = f"""
update slice set state = {SliceState.DONE:d}, ended_at = $3::timestamptz,
       provider_ref = coalesce(nullif($4, ''), provider_ref),
       n_by_status[{Shown.ACCEPTED + 1}] = n_by_status[{Shown.ACCEPTED + 1}] + n_by_status[{Shown.SENDING + 1}],
       n_by_status[{Shown.SENDING + 1}] = 0
where id = $1 and epoch = $2 and state = {SliceState.IN_FLIGHT:d} returning id
"""
FINISH_SQL = """
update slice set state = $3::smallint, ended_at = case when $3::smallint = 4 then $4::timestamptz end,
       ambiguous_at = case when $3::smallint = 3 then $4::timestamptz end,
       provider_ref = coalesce(nullif($5, ''), provider_ref), detail = $6
where id = $1 and epoch = $2 and state = 2 returning id
"""
LATE_SQL = "insert into receipt_batch (provider, received_at, receipts) values ($1, $2, $3)"


@dataclass(slots=True)
class Answers:
    """Answers of one slice by outcome; endpoint ids in lists, so each outcome is one statement."""

    accepted: dict[int, Accepted] = field(default_factory=dict)
    rejected: dict[tuple[Reason, bool], list[int]] = field(
        default_factory=lambda: defaultdict(list)
    )
    deferred: dict[Deferred, list[int]] = field(default_factory=lambda: defaultdict(list))
    unclear: dict[int, str] = field(default_factory=dict)

    @classmethod
    def sort(cls, results: Iterable[tuple[int, SendResult]]) -> "Answers":
        """Put each endpoint's answer where it belongs."""
        answers = cls()
        for endpoint, result in results:
            match result:
                case Accepted():
                    answers.accepted[endpoint] = result
                case Rejected():
                    answers.rejected[(result.reason, result.suppress)].append(endpoint)
                case Deferred():
                    answers.deferred[result].append(endpoint)
                case Unclear():
                    answers.unclear[endpoint] = result.detail
                case _:
                    assert_never(result)
        return answers


async def record(conn: Connection, ctx: Context, held: Claim, answers: Answers) -> None:
    """Write what the provider said. The caller owns the transaction."""
    now = ctx.now()
    if await conn.fetchval(OWN_SQL, held.id, held.epoch) is None:
        await _record_late(conn, held, answers, now)
        return
    await _record_accepted(conn, held, answers.accepted, now)
    for (reason, suppress), endpoints in answers.rejected.items():
        await settle(
            conn,
            held.slice,
            endpoints,
            state=DeliveryState.REJECTED,
            reason=reason,
            evidence=0,
            now=now,
        )
        if suppress:
            await conn.execute(
                SUPPRESS_SQL, *_where(held.slice, endpoints), now, suppression_reason(reason)
            )
    for answer, endpoints in answers.deferred.items():
        await _record_deferred(conn, ctx, held, answer, endpoints, now)


async def record_all_taken(
    conn: Connection, held: Claim, answers: Answers, *, reference: str, now: datetime
) -> None:
    """Write that one answer took everybody of the slice: one row, however many they are."""
    if await conn.fetchval(ALL_TAKEN_SQL, held.id, held.epoch, now, reference) is None:
        await _record_late(conn, held, answers, now)
        return
    tally.count_arrivals(held.slice["channel"], Counter({Shown.ACCEPTED: len(answers.accepted)}))


async def settle(  # noqa: PLR0913 - one outcome's columns
    conn: Connection,
    row: asyncpg.Record,
    endpoints: Sequence[int],
    *,
    state: DeliveryState,
    reason: int,
    evidence: int,
    now: datetime,
    slice_state: SliceState = SliceState.IN_FLIGHT,
) -> None:
    """Move planned deliveries of one slice to a settled state, counters included."""
    moved = await conn.fetch(
        SETTLE_SQL, *_where(row, endpoints), row["id"], state, reason, evidence, now
    )
    moves: Counter[int] = Counter()
    for group in moved:
        attempt, before = group["attempt"], group["evidence"]
        moves[shown(DeliveryState.PLANNED, slice_state, attempt, before)] -= group["n"]
        moves[shown(state, slice_state, attempt, before | evidence)] += group["n"]
    await tally.add(conn, {row["id"]: moves}, STATUS_COUNT)


def _where(row: asyncpg.Record, endpoints: Sequence[int]) -> tuple[int, int, int, list[int]]:
    return row["update_id"], row["channel"], row["purpose"], list(endpoints)


async def _record_accepted(
    conn: Connection, held: Claim, accepted: dict[int, Accepted], now: datetime
) -> None:
    if not accepted:
        return
    row = held.slice
    by_fact: dict[str, list[int]] = defaultdict(list)
    for endpoint, answer in accepted.items():
        by_fact[answer.fact].append(endpoint)
    for endpoints in by_fact.values():
        fact = accepted[endpoints[0]].fact
        await settle(
            conn,
            row,
            endpoints,
            state=DeliveryState.ACCEPTED,
            reason=0,
            evidence=bit(fact),
            now=now,
        )
    # One request for many has one reference, kept on the slice; one request each keeps one each.
    if ChannelKind.from_code(row["channel"]) is not ChannelKind.EMAIL:
        await conn.execute(RECEIPT_DAY_SQL, now)
        await conn.execute(
            REFERENCES_SQL,
            row["update_id"],
            row["channel"],
            row["purpose"],
            list(accepted),
            [row["attempt"]] * len(accepted),
            now,
            fact_code(next(iter(accepted.values())).fact),
            [answer.provider_ref or "" for answer in accepted.values()],
        )


async def _record_deferred(
    conn: Connection,
    ctx: Context,
    held: Claim,
    answer: Deferred,
    endpoints: list[int],
    now: datetime,
) -> None:
    row = held.slice
    limits = ctx.policy.backoff
    pause = answer.retry_after or backoff(
        row["attempt"], base=limits.base, cap=limits.cap, rng=ctx.rng
    )
    again = now + max(pause, timedelta(milliseconds=100))
    if answer.sender_wide:
        await conn.execute(
            PAUSE_SENDER_SQL, row["sender_id"], again, answer.reason.name.lower(), now
        )
    # What a whole sender was refused burnt no attempt of anybody.
    attempt = row["attempt"] if answer.sender_wide else min(row["attempt"] + 1, 250)
    lane = row["lane"] if answer.sender_wide else RETRY_LANE
    await postpone(
        conn,
        row,
        endpoints,
        lane=lane,
        attempt=attempt,
        until=again,
        detail=answer.detail[:200],
        now=now,
    )


async def postpone(  # noqa: PLR0913 - a slice's worth of keyword arguments
    conn: Connection,
    row: asyncpg.Record,
    endpoints: Sequence[int],
    *,
    lane: int,
    attempt: int,
    until: datetime,
    detail: str,
    now: datetime,
) -> None:
    """Let planned deliveries of a slice in flight wait until then; what would be too old then, ends."""
    if until < row["expires_at"]:
        await move(
            conn, row, endpoints, lane=lane, attempt=attempt, not_before=until, detail=detail
        )
        return
    # A first attempt that may have left leaves the second one's end open too.
    doubt = row["maybe_duplicate"]
    await settle(
        conn,
        row,
        endpoints,
        state=DeliveryState.UNCONFIRMED if doubt else DeliveryState.EXPIRED,
        reason=Decision.NO_PROOF if doubt else Decision.TIME_TO_LIVE,
        evidence=0,
        now=now,
    )


async def move(  # noqa: PLR0913 - a slice's worth of keyword arguments
    conn: Connection,
    row: asyncpg.Record,
    endpoints: Sequence[int],
    *,
    lane: int,
    attempt: int,
    not_before: datetime,
    detail: str,
    maybe_duplicate: bool = False,
    slice_state: SliceState = SliceState.IN_FLIGHT,
) -> None:
    """Move planned deliveries of a slice to a new waiting slice, counters included."""
    moved = await conn.fetch(
        MOVE_SQL,
        *_where(row, endpoints),
        row["id"],
        lane,
        attempt,
        not_before,
        detail,
        maybe_duplicate,
    )
    moves: dict[int, Counter[int]] = {row["id"]: Counter()}
    for group in moved:
        before, n = group["evidence"], group["n"]
        after = before if attempt == group["attempt"] else next_attempt(before)
        there = moves.setdefault(group["id"], Counter())
        was = shown(DeliveryState.PLANNED, slice_state, group["attempt"], before)
        moves[row["id"]][was] -= n
        there[shown(DeliveryState.PLANNED, SliceState.WAITING, attempt, after)] += n
    await tally.add(conn, moves, STATUS_COUNT)


async def finish(
    conn: Connection, held: Claim, *, detail: str, reference: str, now: datetime
) -> None:
    """End the slice: done, or ambiguous where the answer for some of it is missing."""
    row = held.slice
    left = await planned(conn, row)
    state = SliceState.AMBIGUOUS if left else SliceState.DONE
    if (
        await conn.fetchval(FINISH_SQL, held.id, held.epoch, state, now, reference, detail[:200])
        is None
    ):
        return
    moves = turned(left, SliceState.IN_FLIGHT, state)
    await tally.add(conn, {held.id: moves}, STATUS_COUNT)


async def _record_late(conn: Connection, held: Claim, answers: Answers, now: datetime) -> None:
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
