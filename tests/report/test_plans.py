"""How PostgreSQL reads for a report: by key, however many deliveries, receipts and accounts there are."""

import json
from typing import Any

import pytest

from channels.model import ChannelKind
from dispatcher.stages.report.accounts import PAGE_SQL
from dispatcher.stages.report.deliveries import DELIVERIES_SQL, TIMELINE_SQL
from dispatcher.stages.report.gather import TOLD_CODES
from dispatcher.stages.report.lists import NAMES_SQL
from dispatcher.stages.report.one_account import COVER_SQL
from dispatcher.stages.report.walk import ACCOUNT_BLOCK_SQL, BLOCK_SQL
from tests.report.rows import T0, Book, told

# Ten contacts an account; one delivery and one receipt each, of one update.
FILL_SQL = """
with a as (
    insert into account (external_id, name, segment, segment_rule, created_at, updated_at)
    select 'a' || n, 'A' || n, 'smb', 'r', $1, $1 from generate_series(1, 2000) n returning id
), v as (
    insert into contact_version (contact_id, name, created_at)
    select n, 'P' || n, $1 from generate_series(1000, 20999) n returning id, contact_id
), c as (
    insert into contact (id, account_id, external_id, version_id, created_at, updated_at)
    overriding system value
    select v.contact_id, (select min(id) from a) + v.contact_id % 2000, 'c' || v.contact_id, v.id, $1, $1
    from v returning id, account_id, version_id
), e as (
    insert into address (channel, value, hash, created_at)
    select 1, 'p' || id, sha256(id::text::bytea), $1 from c returning id
), p as (
    insert into endpoint (id, channel, address_id, created_at) overriding system value
    select row_number() over () + 999, 1, id, $1 from e returning id, address_id
), l as (
    insert into contact_endpoint (contact_id, endpoint_id, address_id, channel, created_at)
    select id, id, address_id, 1, $1 from p returning contact_id
), d as (
    insert into delivery (update_id, endpoint_id, account_id, slice_id, address_id, contact_version, channel,
                          purpose, state)
    select $2, c.id, c.account_id, $3, p.address_id, c.version_id, 1, 1, 1 from c join p using (id)
), r as (
    insert into receipt (day, update_id, endpoint_id, channel, purpose, attempt, fact, matched, at)
    select $1::timestamptz::date, $2, id, 1, 1, 1, 2, true, $1 from p
)
insert into account_update (account_id, update_id, n, standing, sort_name)
select id, $2, 10, id % 5, 'a' || id from a
"""
BIG = {"account", "account_update", "contact", "contact_version", "contact_endpoint", "address"}


def scanned(plan: Any) -> set[str]:
    """Tables that are read as a whole."""
    if isinstance(plan, list):
        return set[str]().union(*map(scanned, plan))
    inner = scanned([plan.get("Plan", {})] if "Plan" in plan else plan.get("Plans", []))
    return inner | ({plan["Relation Name"]} if plan.get("Node Type") == "Seq Scan" else set())


@pytest.fixture
async def full(book: Book) -> Book:
    ada = await book.person("Ada", await book.account("Big"), ChannelKind.EMAIL)
    await book.open()
    number = await book.slice("smb", ChannelKind.EMAIL, told(ada, 1))
    async with book.conn.transaction():
        await book.conn.execute("set constraints all deferred")
        await book.conn.execute("set local session_replication_role = replica")
        await book.conn.execute(FILL_SQL, T0, book.update, number)
    await book.conn.execute("analyze")
    return book


async def test_pages_blocks_and_single_accounts_are_read_by_key(full: Book) -> None:
    account = await full.conn.fetchval("select max(id) from account")
    people = await full.conn.fetch("select id from contact_version limit 20")
    endpoints = list(range(1000, 1020))
    update, dispatch = full.update, full.dispatch
    start = (update, dispatch, 1, 5000, 1, 200, TOLD_CODES)
    questions: dict[str, tuple[object, ...]] = {
        PAGE_SQL: (update, 4, 2, "a5", 0, "", 51),
        BLOCK_SQL: start,
        ACCOUNT_BLOCK_SQL: (*start, account),
        DELIVERIES_SQL: (account, [update]),
        TIMELINE_SQL: ([update], endpoints),
        NAMES_SQL: ([row["id"] for row in people],),
        COVER_SQL: (update, endpoints, [1] * 20, dispatch, TOLD_CODES),
    }
    await full.conn.execute("set plan_cache_mode = force_generic_plan")
    for sql, values in questions.items():
        plan = await full.conn.fetchval(f"explain (format json) {sql}", *values)
        tables = scanned(json.loads(plan) if isinstance(plan, str) else plan)
        parts = {name for name in tables if name.startswith(("delivery", "receipt"))}
        assert not tables & BIG | parts, (sql, tables)
