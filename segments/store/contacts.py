"""Contacts: the person, the name of today, the addresses, what was agreed to and what is wanted."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from segments.addresses import hash_normalised
from segments.model import Channel, Db, Outcome
from segments.records import ContactIn
from segments.store import contact_sql as sql
from segments.store.writer import Numbered, Row, Writer, upsert

_ADDRESS_FIELDS: Final = (
    ("email", Channel.EMAIL),
    ("phone", Channel.SMS),
    ("app_user", Channel.BANNER),
)


class ContactWriter(Writer[ContactIn]):
    """Writes contacts with everything that hangs on them."""

    kind = "contacts"
    stage = "stage_contact"
    create_stages = sql.STAGES
    details = ("stage_address", "stage_subscription")

    def __init__(self, conn: Db, *, hash_key: bytes, now: datetime) -> None:
        super().__init__(conn)
        self.hash_key = hash_key
        self.now = now

    async def fill(self, records: Sequence[Numbered[ContactIn]]) -> None:
        await self.copy(self.stage, (_person(line, record) for line, record in records))
        await self.copy("stage_address", self._addresses(records))
        await self.copy(
            "stage_subscription",
            (
                (line, wish.component, wish.channel_code, wish.wanted)
                for line, record in records
                for wish in record.subscriptions
            ),
        )

    def _addresses(self, records: Sequence[Numbered[ContactIn]]) -> Iterator[Row]:
        for line, record in records:
            for field, channel in _ADDRESS_FIELDS:
                if not record.given(field):
                    continue
                value: str = getattr(record, field)
                hashed = hash_normalised(self.hash_key, channel, value) if value else None
                yield line, channel, value or None, hashed

    def checks(self) -> tuple[str, ...]:
        return (sql.UNKNOWN_ACCOUNT, sql.UNKNOWN_COMPONENT)

    async def store(self) -> None:
        await self.conn.execute("truncate stage_person, stage_link")
        await self.conn.execute(sql.INSERT, self.now)
        await self.conn.execute(sql.UPDATE, self.now)
        await self.conn.execute(sql.PERSONS)
        await self._store_addresses()
        await self.conn.execute(sql.CONSENT, self.now)
        await self.conn.execute(sql.SUBSCRIBE, self.now)

    async def _store_addresses(self) -> None:
        await self.conn.execute(sql.ADDRESSES, self.now)
        await self.conn.execute(sql.ENDPOINTS, self.now)
        await self.conn.execute(sql.LINKS)
        await self.conn.execute(sql.UNLINK, self.now)
        await self.conn.execute(sql.LINK, self.now)


def _person(line: int, record: ContactIn) -> Row:
    consent = record.sms_consent
    return (
        line,
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
