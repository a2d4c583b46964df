"""One answer per key: what was answered is stored with the work, and given again for 72 hours."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from dispatcher.db import Connection
from dispatcher.web.answers import WebRefusedError

KEPT_FOR: Final = timedelta(hours=72)
_BARE: Final = re.compile(r"[\x21\x23-\x7e][\x21-\x7e]{0,199}")
_QUOTED: Final = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,200})"')

# The lock is held as long as the work, so who does not get it knows that the work is still running.
LOCK_SQL = "select pg_try_advisory_xact_lock(hashtextextended($1, 7202603))"
FIND_SQL = """
select body_hash, status, location, response from idempotency
where key = $2 and (client = $1 or client is null and api_key_id = $4) and created_at > $3
order by created_at desc limit 1
"""
STORE_SQL = """
insert into idempotency (api_key_id, key, body_hash, status, location, response, created_at, client)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (api_key_id, key) do update
    set body_hash = excluded.body_hash, status = excluded.status, location = excluded.location,
        response = excluded.response, created_at = excluded.created_at, client = excluded.client
"""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One use of a key, with the fingerprint of its body; `client` as in `Caller`."""

    client: str
    api_key_id: str
    key: str
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """What was answered before."""

    status: int
    location: str
    response: Mapping[str, Any]


def read_key(header: str | None) -> str:
    """The key, bare or quoted (RFC 8941). Raises WebRefusedError (400)."""
    if header and (quoted := _QUOTED.fullmatch(header)):
        return re.sub(r'\\(["\\])', r"\1", quoted[1])
    if not header or not _BARE.fullmatch(header):
        raise WebRefusedError(
            "idempotency-key-missing",
            "Send the header Idempotency-Key with 1 to 200 printable characters",
        )
    return header


def fingerprint(body: object) -> bytes:
    """Equal for equal JSON, whatever its spacing and the order of its fields."""
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).digest()


async def begin(conn: Connection, attempt: Attempt, *, now: datetime) -> Answered | None:
    """Lock the key for this transaction; what was answered before, if anything.

    Raises WebRefusedError: 409 while the first request runs, 422 when it had another body.
    """
    if not await conn.fetchval(LOCK_SQL, f"{attempt.client}:{attempt.key}"):
        raise WebRefusedError("idempotency-key-in-use", headers={"Retry-After": "1"})
    since = now - KEPT_FOR
    row = await conn.fetchrow(FIND_SQL, attempt.client, attempt.key, since, attempt.api_key_id)
    if row is None:
        return None
    if row["body_hash"] != attempt.body_hash:
        raise WebRefusedError("idempotency-key-reused")
    return Answered(row["status"], row["location"], row["response"])


async def finish(conn: Connection, attempt: Attempt, answer: Answered, *, now: datetime) -> None:
    """Keep the answer; it commits or vanishes with the work."""
    await conn.execute(
        STORE_SQL,
        attempt.api_key_id,
        attempt.key,
        attempt.body_hash,
        answer.status,
        answer.location,
        dict(answer.response),
        now,
        attempt.client,
    )
