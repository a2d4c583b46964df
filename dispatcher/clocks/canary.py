"""Canary: every minute an ordinary update to one configured address per channel, and whether it arrived."""

import hashlib
import hmac
from dataclasses import dataclass
from functools import partial

import structlog

from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction
from dispatcher.pipeline import take_in
from dispatcher.rules.canary import CANARY, canary_update, channels_with_canary
from dispatcher.rules.states import TOLD_MASK, Purpose
from dispatcher.stages.accept import UpdateIn
from segments.records import AccountIn, ContactIn
from segments.rules import segment_of
from segments.store import upsert_accounts, upsert_contacts

log = structlog.get_logger(__name__)

_LOCK = 7202605

CHANNELS_SQL = "select channel, every_s, sent_to from canary"
HEARD_SQL = f"""
with proved as (
    select c.channel, max(k.at) as at
    from canary c join canary_update k on k.at > coalesce(c.heard_at, '-infinity')
    where exists (select from delivery d
                  where d.update_id = k.update_id and d.channel = c.channel
                    and d.purpose = {Purpose.NOTICE:d} and d.evidence & {TOLD_MASK} <> 0)
    group by 1
)
update canary c set heard_at = p.at from proved p where c.channel = p.channel
"""
DUE_SQL = """
select not exists (select from canary_update where at > clock_timestamp() - make_interval(secs => $1))
"""
# One worker at a time; the others have nothing to wait for.
TURN_SQL = "select pg_try_advisory_xact_lock($1)"
DROP_SQL = "delete from canary where channel <> all($1::smallint[])"
# To another address is another canary, which has yet to arrive.
KEEP_SQL = """
insert into canary as c (channel, every_s, sent_to, since)
select t.channel, t.every_s, t.sent_to, clock_timestamp()
from unnest($1::smallint[], $2::float8[], $3::bytea[]) as t(channel, every_s, sent_to)
on conflict (channel) do update set every_s = excluded.every_s, sent_to = excluded.sent_to,
    since = case when c.sent_to = excluded.sent_to then c.since else excluded.since end,
    heard_at = case when c.sent_to = excluded.sent_to then c.heard_at end
"""
REMEMBER_SQL = """
insert into canary_update (update_id, incident_id, at) values ($1, $2, clock_timestamp())
"""
HIDE_SQL = "update incident set canary = true where id = $1"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the settings ask for: segment of its account, address by channel code, and their hashes."""

    segment: str
    every_s: float
    addresses: dict[int, str]
    hashes: dict[int, bytes]

    @property
    def rows(self) -> set[tuple[int, float, bytes]]:
        """As `canary` holds them."""
        return {(code, self.every_s, hashed) for code, hashed in self.hashes.items()}


def between_turns(every_s: float) -> float:
    """How often to look, in seconds, where a canary is due every `every_s`."""
    return min(every_s / 6, 5.0)


async def send_canary(ctx: Context) -> None:
    """One turn: note what arrived, and set the next one on its way when it is due."""
    wanted = _wanted(ctx)
    async with ctx.pool.acquire() as conn:
        known = {tuple(row) for row in await conn.fetch(CHANNELS_SQL)}
        if known:
            await conn.execute(HEARD_SQL)
        changed = known != wanted.rows
        if not changed and not (wanted.rows and await conn.fetchval(DUE_SQL, wanted.every_s)):
            return
    await in_transaction(ctx.pool, partial(_send, ctx, wanted, changed), rng=ctx.rng)


def _wanted(ctx: Context) -> _Wanted:
    settings = ctx.settings.canary
    segment = segment_of({}, ctx.segment_rules).segment
    able = {kind for kind in settings.addresses if kind in ctx.channels}
    kinds = channels_with_canary(ctx.policy, segment, able)
    if segment in ctx.segment_rules.always_segments:
        # It would be told of every incident.
        kinds = frozenset()
    addresses = {kind.code: settings.addresses[kind] for kind in kinds}
    hashes = {
        code: hmac.digest(ctx.address_key, f"canary {address}".encode(), hashlib.sha256)
        for code, address in addresses.items()
    }
    return _Wanted(segment, settings.every_s, addresses, hashes)


async def _send(ctx: Context, wanted: _Wanted, changed: bool, conn: Connection) -> None:  # noqa: FBT001 - partial's
    if not await conn.fetchval(TURN_SQL, _LOCK):
        return
    if changed:
        await _follow_settings(conn, ctx, wanted)
    if not wanted.rows or not await conn.fetchval(DUE_SQL, wanted.every_s):
        return
    now = ctx.now()
    body = UpdateIn.model_validate(canary_update(wanted.segment, every_s=wanted.every_s, now=now))
    accepted = await take_in(conn, ctx, body, actor="canary", now=now)
    await conn.execute(HIDE_SQL, accepted.incident_id)
    await conn.execute(REMEMBER_SQL, accepted.update_id, accepted.incident_id)


async def _follow_settings(conn: Connection, ctx: Context, wanted: _Wanted) -> None:
    rows = sorted(wanted.rows)
    await conn.execute(DROP_SQL, [code for code, _, _ in rows])
    if not rows:
        log.info("canary_off")
        return
    await conn.execute(KEEP_SQL, *(list(column) for column in zip(*rows, strict=True)))
    now = ctx.now()
    email, phone = (wanted.addresses.get(code, "") for code in (1, 2))
    consent = {"granted": True, "source": "canary", "wording": "set by the operator"}
    contact = {
        "external_id": CANARY,
        "account": CANARY,
        "name": "Canary",
        "email": email,
        "phone": phone,
        "sms_consent": consent if phone else None,
    }
    account = AccountIn(external_id=CANARY, name="Canary")
    await upsert_accounts(conn, [(0, account)], rules=ctx.segment_rules, now=now)
    person = ContactIn.model_validate(contact)
    await upsert_contacts(conn, [(0, person)], hash_key=ctx.address_key, now=now)
    log.info("canary_on", channels=len(rows), every_s=wanted.every_s)
