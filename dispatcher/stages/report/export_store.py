"""Exports as rows: asked for, held by one worker at a time, kept in chunks, and gone after a day.

Files live in the database, so that any process can make one, go on with it, or hand it out.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

import asyncpg

from dispatcher.db import Connection, one_row
from dispatcher.jobs import Event, publish
from dispatcher.rules.own import OWN_ACCOUNT
from dispatcher.rules.problem import not_found
from dispatcher.stages.report.walk import Position

Format = Literal["csv", "xlsx"]
State = Literal["waiting", "running", "done", "failed"]

KEPT_FOR: Final = timedelta(hours=24)
LEASE_S: Final = 60.0
MAX_TRIES: Final = 3
"""Workers that may lose the same export without getting on before it is given up."""

DISPATCH_SQL: Final = """
select d.id, (select a.id from account a join account_update u on u.account_id = a.id
              where a.external_id = $2::text and u.update_id = d.update_id) as account_id
from dispatch d where d.id = $1
"""
# Whoever asks for what is being made already gets that one.
ASK_SQL: Final = """
insert into export as e (dispatch_id, account_id, format, read_pii, state, created_by, created_at, expires_at)
values ($1, $2, $3, $4, 'waiting', $5, $6, $7)
on conflict (dispatch_id, coalesce(account_id, 0), format, read_pii) where state in ('waiting', 'running')
do update set expires_at = excluded.expires_at
returning e.id
"""
FIND_SQL: Final = """
select e.*, a.external_id as account from export e left join account a on a.id = e.account_id
where e.id = $1 and e.expires_at > $2
"""
OWN_FIND_SQL: Final = f"{FIND_SQL} and e.account_id {OWN_ACCOUNT}"
CLAIM_SQL: Final = """
update export e set state = 'running', epoch = e.epoch + 1, tries = e.tries + 1,
       lease_until = clock_timestamp() + $2 * interval '1 second'
from dispatch d
where e.id = $1 and d.id = e.dispatch_id
  and (e.state = 'waiting' or e.state = 'running' and e.lease_until < clock_timestamp())
returning e.*, d.update_id
"""
# Whoever raised the epoch last holds it; nothing is written for anybody else.
STEP_SQL: Final = """
update export set lease_until = clock_timestamp() + $3 * interval '1 second', rows = $4, bytes = $5,
       chunks = $6, channel = $7, endpoint_id = $8, purpose = $9,
       tries = case when format = 'csv' and $6 > chunks then 0 else tries end
where id = $1 and epoch = $2 and state = 'running' returning id
"""
CHUNKS_SQL: Final = """
insert into export_chunk (export_id, no, bytes)
select $1, t.no, t.bytes from unnest($2::int[], $3::bytea[]) as t(no, bytes)
"""
RESTART_SQL: Final = "delete from export_chunk where export_id = $1"
END_SQL: Final = """
update export set state = $3, ended_at = $4, expires_at = $5, lease_until = null
where id = $1 and epoch = $2 and state = 'running'
"""
DUE_SQL: Final = """
select id from export
where state = 'waiting' or state = 'running' and lease_until < clock_timestamp() order by id limit 50
"""
CHUNK_SQL: Final = "select bytes from export_chunk where export_id = $1 and no = $2"
EXPIRED_SQL: Final = "delete from export where expires_at <= $1"


class LostError(Exception):
    """Another worker holds the export now, or it has expired."""


class Progress(NamedTuple):
    """What is in the chunks, and behind which row they end."""

    rows: int = 0
    bytes: int = 0
    chunks: int = 0
    after: Position = Position()


async def ask_for_export(
    conn: Connection,
    dispatch_id: int,
    *,
    file: Format,
    account: str | None,
    read_pii: bool,
    actor: str,
    now: datetime,
) -> int:
    """The id of an export of a dispatch, or of one `account` in it; begins in the caller's transaction.

    Raises RefusedError (404) for an unknown dispatch, or an account that it was not for.
    """
    found = await conn.fetchrow(DISPATCH_SQL, dispatch_id, account)
    if found is None:
        raise not_found("dispatch")
    if account is not None and found["account_id"] is None:
        raise not_found("account in this dispatch")
    expires = now + KEPT_FOR
    row = await one_row(
        conn, ASK_SQL, dispatch_id, found["account_id"], file, read_pii, actor, now, expires
    )
    number: int = row["id"]
    await publish(conn, [Event("export.wanted", number, 1)])
    return number


async def find_export(
    conn: Connection, export_id: int, *, now: datetime, own: bool = False
) -> asyncpg.Record:
    """The row of an export. Raises RefusedError (404) when there is none, or it has expired.

    `own`: only one of an own account is there.
    """
    row = await conn.fetchrow(OWN_FIND_SQL if own else FIND_SQL, export_id, now)
    if row is None:
        raise not_found("export")
    return row


async def exports_due(conn: Connection) -> list[int]:
    """Exports nobody works on: not begun yet, or whose worker is gone."""
    return [row["id"] for row in await conn.fetch(DUE_SQL)]


async def remove_expired(conn: Connection, *, now: datetime) -> None:
    """Forget exports whose time is up, chunks and all."""
    await conn.execute(EXPIRED_SQL, now)


async def claim(conn: Connection, export_id: int) -> asyncpg.Record | None:
    """Hold an export; None when there is nothing to do, or somebody else does it."""
    return await conn.fetchrow(CLAIM_SQL, export_id, LEASE_S)


async def restart(conn: Connection, held: asyncpg.Record) -> Progress:
    """Throw away what an earlier worker wrote. Raises LostError."""
    async with conn.transaction():
        await conn.execute(RESTART_SQL, held["id"])
        await step(conn, held, Progress())
    return Progress()


async def step(
    conn: Connection, held: asyncpg.Record, progress: Progress, fresh: Iterable[bytes] = ()
) -> None:
    """Store `fresh`, which ends at `progress`, and keep the lease. Raises LostError; all or nothing."""
    chunks = list(fresh)
    first = progress.chunks - len(chunks)
    async with conn.transaction():
        kept = await conn.fetchval(
            STEP_SQL, held["id"], held["epoch"], LEASE_S, *progress[:3], *progress.after
        )
        if kept is None:
            raise LostError
        numbers = list(range(first, progress.chunks))
        await conn.execute(CHUNKS_SQL, held["id"], numbers, chunks)


async def end(conn: Connection, held: asyncpg.Record, state: State, *, now: datetime) -> None:
    """Say that the export is done, or given up."""
    await conn.execute(END_SQL, held["id"], held["epoch"], state, now, now + KEPT_FOR)


async def export_chunks(
    connect: Callable[[], AbstractAsyncContextManager[Connection]], export_id: int, chunks: int
) -> AsyncIterator[bytes]:
    """The file piece by piece; no connection is held while a slow reader takes one.

    Raises LookupError when it expired meanwhile.
    """
    for number in range(chunks):
        async with connect() as conn:
            piece: bytes | None = await conn.fetchval(CHUNK_SQL, export_id, number)
        if piece is None:
            raise LookupError("the export has expired")
        yield piece
