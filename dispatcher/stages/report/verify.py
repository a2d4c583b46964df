"""Compare what we say was accepted with what the providers accepted, delivery by delivery.

The ledger is copied into a temporary table in blocks and compared in SQL, so memory stays bounded.
"""

from collections.abc import AsyncIterable, Iterable
from dataclasses import dataclass, fields
from typing import Final, Protocol

from channels.model import ChannelKind
from dispatcher.db import Connection
from dispatcher.ids import DeliveryKey, ForgedIdError, Signer
from dispatcher.rules.canary import CANARY
from dispatcher.rules.states import SHOWN_STATE, TAKEN_IN_ANY_ATTEMPT, DeliveryState
from dispatcher.stages.report.recount import accounts, slices
from templates.slots import Filler, Person, fill, slots_from_json

BLOCK: Final = 5_000
SAMPLES: Final = 5
_SOCIAL: Final = ChannelKind.SOCIAL.code
_BANNER: Final = ChannelKind.BANNER.code
_FOREIGN: Final = (0, 0, 0, 0)

CREATE_SQL: Final = """
create temp table ledger_row (update_id bigint, channel smallint, endpoint_id bigint, purpose smallint)
on commit drop;
create temp table compared (
    update_id bigint, channel smallint, endpoint_id bigint, purpose smallint, acceptances bigint,
    state smallint, taken boolean, maybe_duplicate boolean
) on commit drop
"""
POSTS_SQL: Final = f"""
select d.update_id, d.endpoint_id, d.purpose, r.parts->>'text' as text, r.slots
from delivery d join slice s on s.id = d.slice_id join rendering r on r.id = s.rendering_id
where d.channel = {_SOCIAL}
"""
# Banners are accepted by us, so no ledger has them. state is null where no delivery carries the key.
COMPARED_SQL: Final = f"""
insert into compared
select update_id, channel, endpoint_id, purpose, coalesce(l.n, 0), d.state,
       d.state = {DeliveryState.ACCEPTED:d} or d.evidence & {TAKEN_IN_ANY_ATTEMPT} <> 0, d.maybe_duplicate
from (select update_id, channel, endpoint_id, purpose, count(*) as n from ledger_row
      where channel <> 0 group by 1, 2, 3, 4) l
full join (select d.update_id, d.channel, d.endpoint_id, d.purpose, {SHOWN_STATE} as state, d.evidence,
                  s.maybe_duplicate
           from delivery d join slice s on s.id = d.slice_id where d.channel <> {_BANNER}) d
     using (update_id, channel, endpoint_id, purpose)
"""
# Canaries are removed after a day; the ledger remembers them.
FORGOTTEN_SQL: Final = """
delete from compared where state is null and endpoint_id = any(array(
    select ce.endpoint_id from contact c join contact_endpoint ce on ce.contact_id = c.id
    where c.external_id = $1))
"""
_NOT_ACCEPTED: Final = "state is not null and taken and acceptances = 0"
_NO_DELIVERY: Final = "state is null"
_NOT_RECORDED: Final = (
    f"not taken and acceptances > 0 "
    f"and state not in ({DeliveryState.PLANNED:d}, {DeliveryState.UNCONFIRMED:d})"
)
_DOUBLED: Final = "state is not null and acceptances > 1 + maybe_duplicate::int"
_OPEN: Final = f"state = {DeliveryState.PLANNED:d} and not taken"
_KINDS: Final = {
    "without_acceptance": _NOT_ACCEPTED,
    "without_delivery": _NO_DELIVERY,
    "not_recorded": _NOT_RECORDED,
    "more_than_once": _DOUBLED,
    "still_open": _OPEN,
}
COUNT_SQL: Final = f"""
select coalesce(sum(acceptances), 0)::bigint as acceptances, count(state) as deliveries,
       count(*) filter (where acceptances > 1 and maybe_duplicate) as maybe_duplicates,
       count(*) filter (where state = {DeliveryState.UNCONFIRMED:d} and not taken) as unconfirmed,
       {", ".join(f"count(*) filter (where {rule}) as {name}" for name, rule in _KINDS.items())}
from compared
"""
FOREIGN_SQL: Final = "select count(*) from ledger_row where channel = 0"


class LedgerRow(Protocol):
    """One acceptance a provider remembers. `key` is ours; of a post it is the text."""

    @property
    def provider(self) -> str: ...
    @property
    def key(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """What does not agree. The first four are context, every other number must be zero.

    `samples` names up to five deliveries of each kind as update/channel/endpoint, numbers of ours.
    """

    acceptances: int
    deliveries: int
    maybe_duplicates: int  # resent on purpose, once, and flagged
    unconfirmed: int  # listed for people to ask; whether they left is unknown

    without_acceptance: int  # we say accepted, no provider does
    without_delivery: int  # a provider accepted what we know nothing of
    not_recorded: int  # a provider accepted it, we say it never left
    more_than_once: int  # accepted more often than flagged
    still_open: int  # not settled: the dispatch is still running, or stuck
    miscounted: int  # slices whose counters differ from a recount of their rows
    miscounted_accounts: int  # accounts whose counts of an update, once rolled up, differ from one

    samples: dict[str, list[str]]

    @property
    def total(self) -> int:
        """Zero when everything agrees."""
        return sum(getattr(self, name) for name in DIFFERENCES)


_CONTEXT: Final = ("acceptances", "deliveries", "maybe_duplicates", "unconfirmed", "samples")
DIFFERENCES: Final = tuple(item.name for item in fields(Differences) if item.name not in _CONTEXT)


async def verify_ledger(
    conn: Connection, ledger: AsyncIterable[LedgerRow], *, signer: Signer
) -> Differences:
    """Compare all deliveries with a whole ledger. Meaningful when nothing is being sent meanwhile.

    Counts whose roll-up is due are made anew before they are judged.
    """
    async with conn.transaction():
        await conn.execute("set local statement_timeout = '30min'")
        await conn.execute(CREATE_SQL)
        foreign_posts = await _load(conn, ledger, signer)
        await conn.execute("analyze ledger_row")
        await conn.execute(COMPARED_SQL)
        await conn.execute(FORGOTTEN_SQL, CANARY)
        (counted,) = await conn.fetch(COUNT_SQL)
        foreign: int = await conn.fetchval(FOREIGN_SQL)
        samples = {
            name: await _samples(conn, rule) for name, rule in _KINDS.items() if counted[name]
        }
        if foreign:
            samples.setdefault("without_delivery", []).extend(foreign_posts)
        wrong = {
            "miscounted": await slices(conn),
            "miscounted_accounts": await accounts(conn),
        }
        samples |= {name: rows[:SAMPLES] for name, rows in wrong.items() if rows}
        numbers = dict(counted)
        numbers["acceptances"] += foreign
        numbers["without_delivery"] += foreign
        await conn.execute("drop table ledger_row, compared")
        numbers |= {name: len(rows) for name, rows in wrong.items()}
        return Differences(**numbers, samples=samples)


async def _load(conn: Connection, ledger: AsyncIterable[LedgerRow], signer: Signer) -> list[str]:
    """Copy the ledger in blocks; returns samples of keys that are none of ours."""
    posts = await _posts(conn)
    block: list[tuple[int, int, int, int]] = []
    foreign: list[str] = []
    async for row in ledger:
        found = posts.get(row.key, _FOREIGN) if row.provider == "x" else _read(signer, row.key)
        if found is _FOREIGN and len(foreign) < SAMPLES:
            foreign.append(f"a key of {row.provider} that is none of ours")
        block.append(found)
        if len(block) == BLOCK:
            await _copy(conn, block)
            block.clear()
    await _copy(conn, block)
    return foreign


async def _posts(conn: Connection) -> dict[str, tuple[int, int, int, int]]:
    """Posts carry no key: they are known by their words, which no provider accepts twice."""
    return {
        fill(row["text"], Filler(slots_from_json(row["slots"])).values(Person())): (
            row["update_id"],
            _SOCIAL,
            row["endpoint_id"],
            row["purpose"],
        )
        for row in await conn.fetch(POSTS_SQL)
    }


def _read(signer: Signer, text: str) -> tuple[int, int, int, int]:
    try:
        key: DeliveryKey = signer.read_delivery_key(text)
    except ForgedIdError:
        return _FOREIGN
    return key.update, key.channel, key.endpoint, key.purpose


async def _copy(conn: Connection, block: Iterable[tuple[int, int, int, int]]) -> None:
    await conn.copy_records_to_table(
        "ledger_row", records=block, columns=["update_id", "channel", "endpoint_id", "purpose"]
    )


async def _samples(conn: Connection, rule: str) -> list[str]:
    rows = await conn.fetch(
        f"select update_id, channel, endpoint_id from compared where {rule} limit {SAMPLES}"
    )
    return [
        f"{row['update_id']}/{ChannelKind.from_code(row['channel']).value}/{row['endpoint_id']}"
        for row in rows
    ]
