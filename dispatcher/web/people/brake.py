"""A brake on guessing: who fails to sign in waits, and nobody else does because of them.

Failures are counted for an e-mail from one address, for the address whatever the e-mail, and for the e-mail
wherever they come from; whether anybody has the e-mail or not. Where somebody was let in lately only the
first counts: others may fail with that e-mail as often as they like, its owner still comes in.

An attempt counts as failed until it has succeeded, so a thousand at once are no way around it. One that is
not let through is not counted.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import digest
from typing import Final

from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction

FORGOTTEN_AFTER: Final = timedelta(days=1)
REMEMBERED_FOR: Final = timedelta(days=90)
"""So long the address from which somebody was let in is known as theirs; a row of it has no failures."""
_FIRST_WAIT: Final = timedelta(seconds=15)

# `$3` attempts are free; after those the wait doubles from `$4` up to `$5`. No row: closed.
BEGIN_SQL = """
insert into sign_in_brake as b (key, failed, closed_to, at) values ($1, 1, $2, $2)
on conflict (key) do update set
    failed = case when b.at < $2::timestamptz - $6::interval then 1 else b.failed + 1 end,
    closed_to = $2::timestamptz + case
        when b.at < $2::timestamptz - $6::interval or b.failed + 1 < $3::int then interval '0'
        else least($4::interval * power(2, least(b.failed + 1 - $3::int, 20)), $5::interval) end,
    at = $2
where b.closed_to <= $2
returning failed
"""
# One more comes back in each `$3`, so `closed_to` is when all have; no row: none of a `$4` is left.
SPEND_SQL = """
insert into sign_in_brake as b (key, failed, closed_to, at)
values ($1, 1, $2::timestamptz + $3::interval, $2)
on conflict (key) do update set
    failed = b.failed + 1, closed_to = greatest(b.closed_to, $2) + $3::interval, at = $2
where b.closed_to <= $2::timestamptz + $4::interval - $3::interval
returning failed
"""
CLOSED_SQL = "select closed_to from sign_in_brake where key = $1"
RELEASE_SQL = "delete from sign_in_brake where key = $1"
TAKE_BACK_SQL = """
update sign_in_brake set failed = failed - 1, closed_to = $2 where key = $1 and failed > 0
"""
GIVE_BACK_SQL = """
update sign_in_brake set failed = failed - 1, closed_to = closed_to - $2::interval
where key = $1 and failed > 0
"""
KNOWN_SQL = "select exists(select from sign_in_brake where key = $1 and at > $2)"
REMEMBER_SQL = """
insert into sign_in_brake (key, failed, closed_to, at) values ($1, 0, $2, $2)
on conflict (key) do update set at = $2
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """`free` attempts in a day may fail; each further one doubles the wait, up to `longest`."""

    free: int
    longest: timedelta


BY_PAIR: Final = Limit(5, timedelta(minutes=15))
"""Of an e-mail from one address: alone it never uses up what there is of the e-mail."""
BY_ADDRESS: Final = Limit(40, timedelta(minutes=1))
A_DAY_BY_EMAIL: Final = 200
_ONE_MORE: Final = FORGOTTEN_AFTER / A_DAY_BY_EMAIL


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt, by the keys it is counted under; `place` is where the e-mail may be known."""

    pair: bytes
    address: bytes
    email: bytes
    place: bytes


class ClosedError(Exception):
    """Too many have failed; the attempt is not counted."""

    def __init__(self, until: datetime) -> None:
        super().__init__()
        self.until = until


def attempt_of(ctx: Context, *, email: str, address: str) -> Attempt:
    """Neither is stored as it is: of the e-mail of nobody here we keep no trace that can be read."""
    return Attempt(
        # An address has no blank.
        pair=_key(ctx, f"pair {email} {address}"),
        address=_key(ctx, f"address {address}"),
        email=_key(ctx, f"anywhere {email}"),
        place=_key(ctx, f"place {email} {address}"),
    )


def _key(ctx: Context, what: str) -> bytes:
    return digest(ctx.signer.derived_key("sign-in brake"), what.encode(), sha256)


async def is_known(conn: Connection, attempt: Attempt, *, now: datetime) -> bool:
    """Whether somebody was let in with this e-mail from this address lately."""
    return bool(await conn.fetchval(KNOWN_SQL, attempt.place, now - REMEMBERED_FOR))


async def begin(ctx: Context, attempt: Attempt, *, known: bool) -> int:
    """Count the attempt as failed; how many have of this pair. Raises ClosedError."""

    async def work(conn: Connection) -> int:
        now = ctx.now()
        failed = await _count(conn, attempt.pair, BY_PAIR, now)
        if not known:
            await _count(conn, attempt.address, BY_ADDRESS, now)
            values = (now, _ONE_MORE, FORGOTTEN_AFTER)
            if await conn.fetchval(SPEND_SQL, attempt.email, *values) is None:
                whole: datetime = await conn.fetchval(CLOSED_SQL, attempt.email)
                raise ClosedError(whole - FORGOTTEN_AFTER + _ONE_MORE)
        return failed

    return await in_transaction(ctx.pool, work, rng=ctx.rng)


async def _count(conn: Connection, key: bytes, limit: Limit, now: datetime) -> int:
    values = (limit.free, _FIRST_WAIT, limit.longest, FORGOTTEN_AFTER)
    failed: int | None = await conn.fetchval(BEGIN_SQL, key, now, *values)
    if failed is None:
        raise ClosedError(await conn.fetchval(CLOSED_SQL, key))
    return failed


async def release(conn: Connection, attempt: Attempt, *, known: bool, now: datetime) -> None:
    """It was the right person: their failures here are forgotten, and this one everywhere."""
    await conn.execute(RELEASE_SQL, attempt.pair)
    if not known:
        await conn.execute(TAKE_BACK_SQL, attempt.address, now)
        await conn.execute(GIVE_BACK_SQL, attempt.email, _ONE_MORE)
    await conn.execute(REMEMBER_SQL, attempt.place, now)


async def reopen(conn: Connection, attempt: Attempt, *, now: datetime) -> None:
    """For who has a new password: here, and from wherever they sign in next."""
    await conn.execute(RELEASE_SQL, attempt.pair)
    await conn.execute(RELEASE_SQL, attempt.email)
    await conn.execute(REMEMBER_SQL, attempt.place, now)
