"""Accounts, the segment their attributes put them in, and what they use."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import orjson

from segments.model import Db, Outcome
from segments.records import AccountIn
from segments.rules import Rules, segment_of
from segments.store.staging import Staged
from segments.store.writer import Numbered, Writer, upsert

_STAGES: Final = """
    create temp table if not exists stage_account (
        line int not null, external_id text not null, name text not null, attributes text,
        segment text not null, segment_rule text not null, region text, locale text,
        time_zone text, manager_name text, manager_email text, usage_given boolean not null);
    create temp table if not exists stage_usage (
        line int not null, external_id text not null, component text not null,
        region text not null);
"""
_UNKNOWN_COMPONENT: Final = """
    select u.line, 'usage' as field,
           'names component "' || u.component || '", which is not known; add it first.' as reason
    from stage_usage u
    where not exists (
        select from component c where c.external_id = u.component and c.removed_at is null)
"""
_INSERT: Final = """
    with made as (
        insert into account (
            external_id, name, attributes, segment, segment_rule, region, locale, time_zone,
            manager_name, manager_email, created_at, updated_at)
        select external_id, name, coalesce(attributes, '{}')::jsonb, segment, segment_rule,
               coalesce(region, ''), coalesce(nullif(locale, ''), 'en'),
               coalesce(nullif(time_zone, ''), 'UTC'), coalesce(manager_name, ''),
               coalesce(manager_email, ''), $1::timestamptz, $1::timestamptz
        from stage_account s
        where not exists (select from account a where a.external_id = s.external_id)
        order by external_id
        on conflict (external_id) do nothing
        returning id
    ) insert into stage_made select id from made
"""
# The segment follows the attributes; a record without any leaves both alone.
_UPDATE: Final = """
    with wanted as (
        select a.id, s.name, coalesce(s.attributes::jsonb, a.attributes) as attributes,
               case when s.attributes is null then a.segment else s.segment end as segment,
               case when s.attributes is null then a.segment_rule else s.segment_rule end
                   as segment_rule,
               coalesce(s.region, a.region) as region,
               coalesce(case s.locale when '' then 'en' else s.locale end, a.locale) as locale,
               coalesce(case s.time_zone when '' then 'UTC' else s.time_zone end, a.time_zone)
                   as time_zone,
               coalesce(s.manager_name, a.manager_name) as manager_name,
               coalesce(s.manager_email, a.manager_email) as manager_email
        from stage_account s join account a on a.external_id = s.external_id
        where a.id not in (select id from stage_made)
        order by s.external_id
    ), changed as (
        update account a
        set name = w.name, attributes = w.attributes, segment = w.segment,
            segment_rule = w.segment_rule, region = w.region, locale = w.locale,
            time_zone = w.time_zone, manager_name = w.manager_name,
            manager_email = w.manager_email, removed_at = null, updated_at = $1::timestamptz
        from wanted w
        where a.id = w.id
          and (a.name, a.attributes, a.segment, a.segment_rule, a.region, a.locale, a.time_zone,
               a.manager_name, a.manager_email, a.removed_at)
              is distinct from
              (w.name, w.attributes, w.segment, w.segment_rule, w.region, w.locale, w.time_zone,
               w.manager_name, w.manager_email, null)
        returning a.id
    ) insert into stage_touched select id from changed
"""
_DROP_USAGE: Final = """
    with gone as (
        delete from usage u
        using stage_account s join account a on a.external_id = s.external_id
        where s.usage_given and u.account_id = a.id
          and not exists (
              select from stage_usage w join component c on c.external_id = w.component
              where w.line = s.line and c.id = u.component_id and w.region = u.region)
        returning u.account_id
    ) insert into stage_touched select account_id from gone
"""
_ADD_USAGE: Final = """
    with added as (
        insert into usage (account_id, component_id, region)
        select distinct a.id, c.id, w.region
        from stage_usage w
        join account a on a.external_id = w.external_id
        join component c on c.external_id = w.component
        order by 1, 2, 3
        on conflict do nothing
        returning account_id
    ) insert into stage_touched select account_id from added
"""


class AccountWriter(Writer[AccountIn]):
    """Writes accounts and their usage."""

    kind = "accounts"
    table = "stage_account"
    create_tables = _STAGES
    details = ("stage_usage",)

    def __init__(self, conn: Db, *, rules: Rules, now: datetime) -> None:
        super().__init__(conn)
        self.rules = rules
        self.now = now

    def stage(self, staged: Staged, line: int, record: AccountIn) -> None:
        decision = segment_of(record.attributes, self.rules)
        attributes = orjson.dumps(record.attributes).decode() if record.attributes else "{}"
        staged.add(
            self.table,
            line,
            record.external_id,
            record.name,
            attributes if record.given("attributes") else None,
            decision.segment,
            decision.rule,
            *(
                getattr(record, field) if record.given(field) else None
                for field in ("region", "locale", "time_zone", "manager_name", "manager_email")
            ),
            record.given("usage"),
        )
        for use in record.usage:
            staged.add("stage_usage", line, record.external_id, use.component, use.region)

    def checks(self) -> tuple[str, ...]:
        return (_UNKNOWN_COMPONENT,)

    async def store(self) -> None:
        await self.conn.execute(_INSERT, self.now)
        await self.conn.execute(_UPDATE, self.now)
        await self.conn.execute(_DROP_USAGE)
        await self.conn.execute(_ADD_USAGE)


async def upsert_accounts(
    conn: Db,
    records: Sequence[Numbered[AccountIn]],
    *,
    rules: Rules,
    now: datetime,
    keep_going: bool = False,
) -> Outcome:
    """Create or change accounts. With problems and without `keep_going`, nothing is written."""
    return await upsert(AccountWriter(conn, rules=rules, now=now), records, keep_going=keep_going)
