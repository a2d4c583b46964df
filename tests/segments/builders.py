"""Records with sensible defaults, and short ways to store them through the real store."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from asyncpg import Record

from segments.audience import AUDIENCE_SQL, suppressed_endpoints
from segments.model import MAX_ID, AudienceQuery, Channel, Db, Outcome
from segments.records import AccountIn, ComponentIn, ContactIn
from segments.rules import load_rules
from segments.store import upsert_accounts, upsert_components, upsert_contacts

NOW = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
KEY = b"a key for tests, 32 bytes long.."
RULES = load_rules()

ALL_RULES: dict[str, Any] = {
    "rule_segments": tuple(s for s in ("enterprise", "smb", "internal") for _ in range(3)),
    "rule_channels": (1, 2, 4) * 3,
    "rule_roles": ("",) * 9,
    "always_segments": ("internal",),
}
"""Every segment on every personal channel."""


def account(external_id: str, **fields: Any) -> AccountIn:
    return AccountIn.model_validate(
        {"external_id": external_id, "name": external_id.title(), **fields}
    )


def contact(external_id: str, account: str, **fields: Any) -> ContactIn:
    return ContactIn.model_validate(
        {"external_id": external_id, "account": account, "name": external_id.title(), **fields}
    )


async def put_components(conn: Db, *external_ids: str) -> dict[str, int]:
    records = [
        (line, ComponentIn(external_id=id_, name=id_.title()))
        for line, id_ in enumerate(external_ids)
    ]
    outcome = await upsert_components(conn, records, now=NOW)
    assert not outcome.problems
    return {row["external_id"]: row["id"] for row in await conn.fetch("select * from component")}


async def put_accounts(conn: Db, *records: AccountIn, now: datetime = NOW) -> Outcome:
    return await upsert_accounts(conn, list(enumerate(records)), rules=RULES, now=now)


async def put_contacts(conn: Db, *records: ContactIn, now: datetime = NOW) -> Outcome:
    return await upsert_contacts(conn, list(enumerate(records)), hash_key=KEY, now=now)


def query(**fields: Any) -> AudienceQuery:
    return AudienceQuery(**{**ALL_RULES, **fields})


CHANNELS = {"email": Channel.EMAIL, "sms": Channel.SMS, "banner": Channel.BANNER}


async def remove_account(conn: Db, external_id: str) -> None:
    """Its contacts are told nothing any more."""
    await conn.execute(
        "update account set removed_at = $2 where external_id = $1", external_id, NOW
    )


async def account_ids(conn: Db, external_ids: Sequence[str]) -> dict[str, int]:
    rows = await conn.fetch("select * from account where external_id = any ($1)", external_ids)
    return {row["external_id"]: row["id"] for row in rows}


async def component_ids(conn: Db, external_ids: Sequence[str]) -> dict[str, int]:
    rows = await conn.fetch("select * from component where external_id = any ($1)", external_ids)
    return {row["external_id"]: row["id"] for row in rows}


async def audience(conn: Db, asked: AudienceQuery, now: datetime = NOW) -> list[Record]:
    """The rows of everybody an audience is about."""
    suppressed = await suppressed_endpoints(conn)
    return await conn.fetch(AUDIENCE_SQL, *asked.params(0, MAX_ID, now, suppressed))
