"""A brake on guessing: each failure to sign in makes the next attempt wait longer.

Counted for an e-mail, whether anybody has it or not, and for the address the attempts come from.
An attempt counts as failed until it has succeeded, so a thousand at once are no way around it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import digest
from typing import Final

from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction

FORGOTTEN_AFTER: Final = timedelta(days=1)
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
CLOSED_SQL = "select closed_to from sign_in_brake where key = $1"
RELEASE_SQL = "delete from sign_in_brake where key = $1"
TAKE_BACK_SQL = """
update sign_in_brake set failed = failed - 1, closed_to = $2 where key = $1 and failed > 0
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """`free` attempts in a day may fail; each further one doubles the wait, up to `longest`."""

    free: int
    longest: timedelta


BY_EMAIL: Final = Limit(5, timedelta(minutes=15))
BY_ADDRESS: Final = Limit(40, timedelta(minutes=1))


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt, by the keys it is counted under."""

    email: bytes
    address: bytes


def attempt_of(ctx: Context, *, email: str, address: str) -> Attempt:
    """Neither is stored as it is: of the e-mail of nobody here we keep no trace that can be read."""
    return Attempt(_key(ctx, f"email {email}"), _key(ctx, f"address {address}"))


def _key(ctx: Context, what: str) -> bytes:
    return digest(ctx.signer.derived_key("sign-in brake"), what.encode(), sha256)


async def begin(ctx: Context, attempt: Attempt) -> int | datetime:
    """Count the attempt as failed; how many have for this e-mail, or until when it is closed."""

    async def work(conn: Connection) -> int | datetime:
        now = ctx.now()
        failed = 0
        for key, limit in ((attempt.address, BY_ADDRESS), (attempt.email, BY_EMAIL)):
            values = (limit.free, _FIRST_WAIT, limit.longest, FORGOTTEN_AFTER)
            found = await conn.fetchval(BEGIN_SQL, key, now, *values)
            if found is None:
                until: datetime = await conn.fetchval(CLOSED_SQL, key)
                return until
            failed = found
        return failed

    return await in_transaction(ctx.pool, work, rng=ctx.rng)


async def release(conn: Connection, attempt: Attempt, *, now: datetime) -> None:
    """It was the right person: their failures are forgotten, and this one of the address."""
    await conn.execute(RELEASE_SQL, attempt.email)
    await conn.execute(TAKE_BACK_SQL, attempt.address, now)


async def reopen(conn: Connection, ctx: Context, email: str) -> None:
    """For who has a new password."""
    await conn.execute(RELEASE_SQL, _key(ctx, f"email {email}"))
