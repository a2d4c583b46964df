"""Rows made by hand, so that every answer is known beforehand."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from channels.model import ChannelKind, Fact
from dispatcher import tally
from dispatcher.db import Connection
from dispatcher.ids import Signer
from dispatcher.rules.states import (
    STATUS_COUNT,
    TAKEN_MASK,
    DeliveryState,
    Shown,
    SliceState,
    bit,
    fact_code,
    shown,
)

T0 = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SIGNER = Signer(b"a secret for tests, which is long enough")
TITLE = "Some customers cannot pay by card"


def at(seconds: float) -> datetime:
    """So many seconds after the update was taken in."""
    return T0 + timedelta(seconds=seconds)


@dataclass(frozen=True)
class Person:
    """A contact with one endpoint per channel."""

    id: int
    version: int
    account: int
    endpoints: dict[ChannelKind, int]
    addresses: dict[ChannelKind, int]


@dataclass
class Book:
    """Writes rows and keeps what later rows must point at."""

    conn: Connection
    incident: int = 0
    update: int = 0
    dispatch: int = 0
    seq: int = 0
    renderings: dict[tuple[str, ChannelKind], int] = field(default_factory=dict)

    async def account(self, name: str, segment: str = "smb") -> int:
        number: int = await self.conn.fetchval(
            """insert into account (external_id, name, segment, segment_rule, manager_name, created_at,
               updated_at) values ($1, $2, $3, 'r', 'Mia', $4, $4) returning id""",
            name.lower(),
            name,
            segment,
            T0,
        )
        return number

    async def person(
        self, name: str, account: int, *channels: ChannelKind, address: str | None = None
    ) -> Person:
        async with self.conn.transaction():
            contact = await self.conn.fetchval(
                """insert into contact (account_id, external_id, version_id, created_at, updated_at)
                   values ($1, $2, 0, $3, $3) returning id""",
                account,
                name.lower(),
                T0,
            )
            version = await self.conn.fetchval(
                "insert into contact_version (contact_id, name, created_at) values ($1, $2, $3) returning id",
                contact,
                name,
                T0,
            )
            await self.conn.execute(
                "update contact set version_id = $2 where id = $1", contact, version
            )
        person = Person(contact, version, account, {}, {})
        for kind in channels:
            value = address or (
                f"+1555010{contact:04d}"
                if kind is ChannelKind.SMS
                else f"{name.lower()}@example.com"
            )
            await self._link(person, kind, value)
        return person

    async def _link(self, person: Person, kind: ChannelKind, value: str) -> None:
        address, endpoint = await self.endpoint(kind, value)
        await self.conn.execute(
            """insert into contact_endpoint (contact_id, endpoint_id, address_id, channel, consented,
               created_at) values ($1, $2, $3, $4, true, $5)""",
            person.id,
            endpoint,
            address,
            kind.code,
            T0,
        )
        person.endpoints[kind], person.addresses[kind] = endpoint, address

    async def endpoint(self, kind: ChannelKind, value: str) -> tuple[int, int]:
        row = await self.conn.fetchrow(
            """select a.id as address, e.id as endpoint from address a join endpoint e on e.address_id = a.id
               where a.channel = $1 and a.value = $2""",
            kind.code,
            value,
        )
        if row is not None:
            return row["address"], row["endpoint"]
        address = await self.conn.fetchval(
            "insert into address (channel, value, hash, created_at) values ($1, $2, $3, $4) returning id",
            kind.code,
            value,
            value.encode(),
            T0,
        )
        endpoint = await self.conn.fetchval(
            "insert into endpoint (channel, address_id, created_at) values ($1, $2, $3) returning id",
            kind.code,
            address,
            T0,
        )
        return address, endpoint

    async def open(
        self, *, severity: int = 1, moment: datetime = T0, state: str = "sending"
    ) -> None:
        """A new update of the one incident, and its dispatch."""
        self.seq += 1
        if not self.incident:
            self.incident = await self.conn.fetchval(
                """insert into incident (source, external_id, visibility, severity, status, started_at)
                   values ('monitoring', 'INC-42', 'public', $1, 'investigating', $2) returning id""",
                severity,
                T0,
            )
        self.update = await self.conn.fetchval("select update_id_at($1) + $2", moment, self.seq)
        await self.conn.execute("select ensure_delivery_partition($1)", moment)
        await self.conn.execute(
            """insert into incident_update (id, incident_id, seq, kind, status, severity, visibility, facts,
               facts_hash, mode, state, created_by, at)
               values ($1, $2, $3, 'update', 'investigating', $4, 'public', $5, '', 'auto', 'planned',
                       't', $6)""",
            self.update,
            self.incident,
            self.seq,
            severity,
            {"title": TITLE, "next_update_by": "2026-11-22T13:00:00Z"},
            moment,
        )
        self.dispatch = await self.conn.fetchval(
            """insert into dispatch (update_id, incident_id, state, created_at, planned_at)
               values ($1, $2, $3, $4, $4) returning id""",
            self.update,
            self.incident,
            state,
            moment,
        )
        self.renderings.clear()

    async def rendering(self, segment: str, kind: ChannelKind, text: str = "words") -> int:
        if (segment, kind) not in self.renderings:
            self.renderings[(segment, kind)] = await self.conn.fetchval(
                """insert into rendering (update_id, segment, channel, locale, parts, slots, hash)
                   values ($1, $2, $3, 'en', $4, '[]', '') returning id""",
                self.update,
                segment,
                kind.code,
                {"text": text},
            )
        return self.renderings[(segment, kind)]

    async def slice(
        self,
        segment: str,
        kind: ChannelKind,
        *deliveries: "Row",
        state: SliceState = SliceState.DONE,
        maybe_duplicate: bool = False,
        text: str = "words",
    ) -> int:
        """One slice with its deliveries and the counters they imply."""
        counts = [0] * STATUS_COUNT
        for row in deliveries:
            counts[shown(row.state, state, row.attempt, row.evidence)] += 1
        number: int = await self.conn.fetchval(
            """insert into slice (update_id, incident_id, dispatch_id, rendering_id, channel, purpose, lane,
               state, n, maybe_duplicate, not_before, expires_at, endpoint_ids, n_by_status)
               values ($1, $2, $3, $4, $5, 1, 1, $6, $7, $8, $9, $9, $10, $11) returning id""",
            self.update,
            self.incident,
            self.dispatch,
            await self.rendering(segment, kind, text),
            kind.code,
            state,
            len(deliveries),
            maybe_duplicate,
            T0,
            [row.endpoint(kind) for row in deliveries],
            counts,
        )
        for row in deliveries:
            await self._delivery(number, kind, row)
        return number

    async def _delivery(self, slice_id: int, kind: ChannelKind, row: "Row") -> None:
        person = row.person
        await self.conn.execute(
            """insert into delivery (update_id, endpoint_id, account_id, slice_id, address_id, contact_version,
               sent_at, evidence, channel, purpose, state, reason, attempt)
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, $11, $12)""",
            self.update,
            row.endpoint(kind),
            person.account if person else 0,
            slice_id,
            person.addresses.get(kind) if person and not row.nowhere else None,
            person.version if person else None,
            T0 if row.state is DeliveryState.ACCEPTED else None,
            row.evidence,
            kind.code,
            row.state,
            row.reason,
            row.attempt,
        )
        for seconds, fact in row.facts:
            await self.receipt(kind, row.endpoint(kind), fact, seconds)

    async def prove(
        self, slice_id: int, kind: ChannelKind, person: "Person", seconds: float
    ) -> None:
        """A first receipt for something accepted, merged as the tracker does it."""
        endpoint = person.endpoints[kind]
        await self.receipt(kind, endpoint, Fact.DELIVERED, seconds)
        await self.conn.execute(
            "update delivery set evidence = $3 where slice_id = $1 and endpoint_id = $2",
            slice_id,
            endpoint,
            bit(Fact.DELIVERED),
        )
        moved: Counter[int] = Counter({Shown.ACCEPTED: -1, Shown.DELIVERED: 1})
        await tally.add(self.conn, {slice_id: moved}, STATUS_COUNT)

    async def receipt(self, kind: ChannelKind, endpoint: int, fact: Fact, seconds: float) -> None:
        moment = at(seconds)
        await self.conn.execute("select ensure_receipt_partition($1)", moment.date())
        await self.conn.execute(
            """insert into receipt (day, update_id, endpoint_id, channel, purpose, attempt, fact, matched, at,
               detail) values ($1, $2, $3, $4, 1, 1, $5, true, $6, 'said so')""",
            moment.date(),
            self.update,
            endpoint,
            kind.code,
            fact_code(fact),
            moment,
        )


@dataclass(frozen=True)
class Row:
    """One delivery; `facts` are (seconds, fact) that arrived for its current attempt."""

    person: Person | None
    state: DeliveryState
    facts: tuple[tuple[float, Fact], ...] = ()
    reason: int = 0
    attempt: int = 1
    nowhere: bool = False
    public: int = 0

    @property
    def evidence(self) -> int:
        mask = 0
        for _, fact in self.facts:
            mask |= bit(fact)
        return mask

    def taken(self, kind: ChannelKind) -> bool:
        """Whether it counts as told: a banner does when it is seen, everything else when accepted."""
        accepted = self.state is DeliveryState.ACCEPTED and kind is not ChannelKind.BANNER
        return accepted or self.evidence & TAKEN_MASK != 0

    def endpoint(self, kind: ChannelKind) -> int:
        if self.person is None:
            return self.public
        return -self.person.id if self.nowhere else self.person.endpoints[kind]


def told(person: Person, seconds: float, fact: Fact = Fact.DELIVERED) -> Row:
    """Accepted, and proved after so many seconds."""
    return Row(person, DeliveryState.ACCEPTED, ((seconds, fact),))


def lost(person: Person, reason: int, state: DeliveryState = DeliveryState.UNREACHABLE) -> Row:
    """Not sent at all, for a reason."""
    return Row(person, state, reason=reason, nowhere=True)


def waiting(person: Person) -> Row:
    return Row(person, DeliveryState.PLANNED)


def accepted(person: Person) -> Row:
    return Row(person, DeliveryState.ACCEPTED)


def only(rows: Any, **wanted: str) -> Any:
    """The one row with these values."""
    found = [
        row for row in rows if all(getattr(row, name) == value for name, value in wanted.items())
    ]
    assert len(found) == 1, f"{len(found)} rows with {wanted}"
    return found[0]
