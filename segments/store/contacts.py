"""Contacts: the person, the name of today, the addresses, what was agreed to and what is wanted."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from segments.addresses import hash_normalised
from segments.model import Channel, Db, Outcome
from segments.records import ContactIn
from segments.store import contact_sql as sql
from segments.store.staging import Cell, Staged
from segments.store.writer import Numbered, Writer, upsert

_ADDRESS_FIELDS: Final = (
    ("email", Channel.EMAIL),
    ("phone", Channel.SMS),
    ("app_user", Channel.BANNER),
)


class ContactWriter(Writer[ContactIn]):
    """Writes contacts with everything that hangs on them."""

    kind = "contacts"
    table = "stage_contact"
    create_tables = sql.STAGES
    details = ("stage_address", "stage_subscription", "stage_person")

    def __init__(self, conn: Db, *, hash_key: bytes, now: datetime) -> None:
        super().__init__(conn)
        self.hash_key = hash_key
        self.now = now

    def stage(self, staged: Staged, line: int, record: ContactIn) -> None:
        staged.add(self.table, line, *_person(record))
        for field, channel in _ADDRESS_FIELDS:
            if record.given(field):
                value: str = getattr(record, field)
                hashed = hash_normalised(self.hash_key, channel, value) if value else None
                staged.add("stage_address", line, int(channel), value or None, hashed)
        for wish in record.subscriptions:
            code = int(wish.channel_code)
            staged.add("stage_subscription", line, wish.component, code, wish.wanted)

    async def resolve(self) -> None:
        await self.conn.execute(sql.RESOLVE)

    def checks(self) -> tuple[str, ...]:
        return (sql.UNKNOWN_ACCOUNT, sql.UNKNOWN_COMPONENT)

    async def store(self) -> None:
        await self.conn.execute("truncate stage_link")
        await self.conn.execute(sql.INSERT, self.now)
        await self.conn.execute(sql.OVERTAKEN)
        await self.conn.execute(sql.ADDRESSES, self.now)
        await self.conn.execute(sql.LINKS)
        await self.conn.execute(sql.LINK_NEW, self.now)
        await self.conn.execute(sql.SUBSCRIBE_NEW, self.now)
        if await self.conn.fetchval(sql.ANY_KNOWN):
            for statement in (sql.UPDATE, sql.UNLINK, sql.LINK_KNOWN, sql.SUBSCRIBE_KNOWN):
                await self.conn.execute(statement, self.now)
        await self.conn.execute(sql.CONSENT, self.now)


def _person(record: ContactIn) -> tuple[Cell, ...]:
    consent = record.sms_consent
    return (
        record.external_id,
        record.account,
        record.name,
        sorted(set(record.roles)) if record.given("roles") else None,
        record.locale if record.given("locale") else None,
        record.time_zone if record.given("time_zone") else None,
        record.given("quiet_from"),
        record.quiet_from,
        record.quiet_until,
        consent.granted if consent else None,
        consent.source if consent else None,
        consent.wording if consent else None,
    )


async def upsert_contacts(
    conn: Db,
    records: Sequence[Numbered[ContactIn]],
    *,
    hash_key: bytes,
    now: datetime,
    keep_going: bool = False,
) -> Outcome:
    """Create or change contacts. With problems and without `keep_going`, nothing is written."""
    writer = ContactWriter(conn, hash_key=hash_key, now=now)
    return await upsert(writer, records, keep_going=keep_going)
