"""The deliveries of a dispatch as a list: who was told, who was not, and why."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Annotated, Final, NamedTuple, TypeAlias

import asyncpg
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from channels.model import ChannelKind
from dispatcher.db import Connection
from dispatcher.rules.own import OWN_ACCOUNT, OWN_ENDPOINT
from dispatcher.rules.problem import not_found
from dispatcher.rules.reasons import REASONS
from dispatcher.rules.states import (
    SENT_AT,
    SETTLED_AT,
    SHOWN_STATUS,
    DeliveryState,
    Purpose,
    Shown,
    SliceState,
    fact_from_code,
    shown,
)
from dispatcher.stages.report.masks import show_address
from dispatcher.stages.report.people import segment_word
from dispatcher.web.answers import Reply
from dispatcher.web.dispatches import find_dispatch
from dispatcher.web.ids import DISPATCH, number_of
from dispatcher.web.lists import Page, PageQuery, page_reply, position
from dispatcher.web.models import Delivery, DeliveryFact
from dispatcher.web.routing import Call
from dispatcher.web.scopes import Scope

# The account is asked only where there is no wording.
_SEGMENT: Final = """coalesce(
    r.segment, (select segment from account where account.id = d.account_id), '')"""
_VERSIONS: Final = "array(select id from contact_version where contact_id = $13)"


def _if_asked(parameter: str, condition: str) -> str:
    """The planner takes this to hold for half of the rows: it keeps to the order of the key, and sorts none."""
    return f"(case when {parameter} is null then true else {condition} end)"


# The key orders the list and nothing else does, so every page is a range of it, however it is narrowed.
# What belongs to a page is named by its keys: a planner that counts on many would read whole tables.
def _deliveries_sql(narrowed: str = "") -> str:
    return f"""
with page as materialized (
    select d.channel, d.endpoint_id, d.purpose, d.state, d.reason, d.evidence, d.attempt,
           {SENT_AT} as sent_at, {SETTLED_AT} as done_at, s.state as slice_state, {_SEGMENT} as segment,
           d.address_id, d.account_id, d.contact_version
    from delivery d
    join slice s on s.id = d.slice_id
    left join rendering r on r.id = s.rendering_id
    where d.update_id = $1 and s.dispatch_id = $2 and d.channel <= $3::smallint {narrowed}
      and (d.channel, d.endpoint_id, d.purpose) > ($4::bigint, $5::bigint, $6::bigint)
      and {_if_asked("$8::int[]", f"{SHOWN_STATUS} = any($8)")}
      and {_if_asked("$9::bigint[]", "d.slice_id = any($9)")}
      and {_if_asked("$10::smallint[]", "d.reason = any($10)")}
      and {_if_asked("$11::text", f"{_SEGMENT} = $11")}
      and {_if_asked("$12::bigint", "d.account_id = $12")}
      and {_if_asked("$13::bigint", f"d.contact_version = any({_VERSIONS})")}
    order by d.channel, d.endpoint_id, d.purpose limit $7
)
select d.*, a.value as address, acc.external_id as account, coalesce(c.external_id, '') as contact
from page d
left join address a on a.id = d.address_id and a.id = any(array(select address_id from page))
left join account acc on acc.id = d.account_id and acc.id = any(array(select account_id from page))
left join contact_version v on v.id = d.contact_version
                           and v.id = any(array(select contact_version from page))
left join contact c on c.id = v.contact_id
order by d.channel, d.endpoint_id, d.purpose
"""


# No index of deliveries begins with the account: the endpoints of its people lead to them by key.
def _by_key(endpoints: str) -> str:
    return f"""and d.channel = any('{{1,2,3,4}}'::smallint[]) and d.endpoint_id {endpoints}"""


DELIVERIES_SQL: Final = _deliveries_sql()
OF_ACCOUNT_SQL: Final = _deliveries_sql(
    _by_key("""= any(array(
        select ce.endpoint_id from contact p join contact_endpoint ce on ce.contact_id = p.id
        where p.account_id = $12
        union select -p.id from contact p where p.account_id = $12))""")
)
OF_CONTACT_SQL: Final = _deliveries_sql(
    _by_key("""= any(array(
        select endpoint_id from contact_endpoint where contact_id = $13 union select -$13))""")
)
OWN_DELIVERIES_SQL: Final = _deliveries_sql(
    f"{_by_key(OWN_ENDPOINT)} and d.account_id {OWN_ACCOUNT}"
)
# Each slice counts its own. Those few that have what is asked for spare a look at all others.
SLICES_SQL: Final = """
select s.id from slice s left join rendering r on r.id = s.rendering_id
where s.dispatch_id = $1 and ($3::text is null or coalesce(r.segment, $3) = $3)
  and ($2::int[] is null or exists (select from unnest($2) as code where s.n_by_status[code + 1] > 0))
limit $4
"""
ACCOUNT_SQL: Final = "select id from account where external_id = $1"
OWN_ACCOUNT_SQL: Final = f"{ACCOUNT_SQL} and id {OWN_ACCOUNT}"
CONTACT_SQL: Final = "select id from contact where external_id = $1"
OWN_CONTACT_SQL: Final = f"{CONTACT_SQL} and account_id {OWN_ACCOUNT}"
FACTS_SQL: Final = """
select channel, endpoint_id, purpose, attempt, fact, min(at) as at, min(detail) as detail from receipt
where update_id = $1 and channel = any($2::smallint[]) and endpoint_id = any($3::bigint[]) and matched
group by channel, endpoint_id, purpose, attempt, fact order by min(at), fact
"""
_LOWEST: Final = -(2**63)  # endpoints below 0 stand for contacts without one
_ANY_CHANNEL: Final = 2**15 - 1
_FEW_SLICES: Final = 1_000

STATUS_CODES: Final[Mapping[str, int]] = {status.word: status for status in Shown}
"""What `status` may be, and what stands for it in the database."""
REASON_WORDS: Final = tuple(dict.fromkeys(words.code for words in REASONS.values() if words.code))
"""What `reason` may be; some of our reasons are one word to people."""


def _apart(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


def _known(words: Iterable[str], value: str) -> str:
    if value not in words:
        raise ValueError(f"Each must be one of {', '.join(words)}")
    return value


_StatusWord: TypeAlias = Annotated[
    str,
    AfterValidator(partial(_known, STATUS_CODES)),
    WithJsonSchema({"type": "string", "enum": list(STATUS_CODES)}),
]
_ReasonWord: TypeAlias = Annotated[
    str,
    AfterValidator(partial(_known, REASON_WORDS)),
    WithJsonSchema({"type": "string", "enum": list(REASON_WORDS)}),
]


class DeliveryQuery(PageQuery):
    """`status`, `reason`: only what is one of these; commas stand between several.

    `account`, `contact`: by your id of it; one that is not known here is 404. Who was moved to another
    account since is not found by the former. `segment`: that of the wording, `public` for the public post.
    """

    channel: ChannelKind | None = None
    status: Annotated[tuple[_StatusWord, ...], BeforeValidator(_apart)] | None = None
    reason: Annotated[tuple[_ReasonWord, ...], BeforeValidator(_apart)] | None = None
    account: Annotated[str, Field(max_length=200)] | None = None
    contact: Annotated[str, Field(max_length=200)] | None = None
    segment: Annotated[str, Field(max_length=40)] | None = None


class DeliveryPage(Page[Delivery]):
    """Deliveries of one dispatch, in the order of their key."""


class _Asked(NamedTuple):
    """What DELIVERIES_SQL is told to narrow by, from its eighth parameter on; None is no matter."""

    statuses: list[int] | None
    slices: list[int] | None
    reasons: list[int] | None
    segment: str | None
    account: int | None
    contact: int | None


async def list_deliveries(call: Call[None, DeliveryQuery]) -> Reply:
    """One row per address and channel with everything known about it, of those that are asked for."""
    number = number_of(call.ctx, DISPATCH, call.path("dispatch_id"))
    query, own = call.query, call.caller.limited
    start, last_channel = _range(query)
    async with call.connection() as conn:
        update_id = (await find_dispatch(conn, number, own=own))["update_id"]
        asked = await _asked(conn, number, query, own=own)
        rows = await conn.fetch(
            _statement(query, own=own),
            *(update_id, number, last_channel, *start, query.limit + 1, *asked),
        )
        facts = await _facts(conn, update_id, rows)
    keys = [_key(row) for row in rows]
    read_pii = call.caller.may(Scope.RECIPIENTS_READ_PII)
    views = [
        _delivery(row, facts.get(key, ()), read_pii=read_pii)
        for key, row in zip(keys, rows, strict=True)
    ]
    return page_reply(call, views, keys, DeliveryPage)


def _range(query: DeliveryQuery) -> tuple[tuple[int, ...], int]:
    """Behind which key the page begins, and the last channel that may stand on it."""
    after = position(query, (int, int, int)) or (0, _LOWEST, 0)
    if query.channel is None:
        return after, _ANY_CHANNEL
    return max(after, (query.channel.code, _LOWEST, 0)), query.channel.code


def _statement(query: DeliveryQuery, *, own: bool) -> str:
    if own:
        return OWN_DELIVERIES_SQL
    if query.contact is not None:
        return OF_CONTACT_SQL
    return DELIVERIES_SQL if query.account is None else OF_ACCOUNT_SQL


async def _asked(conn: Connection, number: int, query: DeliveryQuery, *, own: bool) -> _Asked:
    """A name nobody knows is refused (404): an empty list would comfort."""
    account = contact = None
    if query.account is not None:
        account = await conn.fetchval(OWN_ACCOUNT_SQL if own else ACCOUNT_SQL, query.account)
        if account is None:
            raise not_found("account")
    if query.contact is not None:
        contact = await conn.fetchval(OWN_CONTACT_SQL if own else CONTACT_SQL, query.contact)
        if contact is None:
            raise not_found("contact")
    statuses = reasons = None
    if query.status is not None:
        statuses = [STATUS_CODES[word] for word in query.status]
    if query.reason is not None:
        reasons = [n for n, words in REASONS.items() if words.code in query.reason]
    segment = "" if query.segment == segment_word("") else query.segment
    slices = None
    # Behind the wall no counts of slices are to be seen, and few deliveries are read anyway.
    if not own and (statuses is not None or segment is not None):
        slices = await _slices(conn, number, statuses, segment)
    return _Asked(statuses, slices, reasons, segment, account, contact)


async def _slices(
    conn: Connection, number: int, statuses: Sequence[int] | None, segment: str | None
) -> list[int] | None:
    """Where such deliveries are; None where they are in so many places that a search finds some soon."""
    rows = await conn.fetch(SLICES_SQL, number, statuses, segment, _FEW_SLICES + 1)
    return None if len(rows) > _FEW_SLICES else [row["id"] for row in rows]


def _key(row: asyncpg.Record) -> tuple[int, int, int]:
    return row["channel"], row["endpoint_id"], row["purpose"]


async def _facts(
    conn: Connection, update_id: int, rows: Sequence[asyncpg.Record]
) -> Mapping[tuple[int, int, int], Sequence[DeliveryFact]]:
    channels = sorted({row["channel"] for row in rows})
    endpoints = [row["endpoint_id"] for row in rows]
    found: dict[tuple[int, int, int], list[DeliveryFact]] = defaultdict(list)
    for row in await conn.fetch(FACTS_SQL, update_id, channels, endpoints):
        found[_key(row)].append(
            DeliveryFact(
                fact=fact_from_code(row["fact"]),
                at=row["at"],
                attempt=row["attempt"],
                detail=row["detail"],
            )
        )
    return found


def _delivery(row: asyncpg.Record, facts: Sequence[DeliveryFact], *, read_pii: bool) -> Delivery:
    channel = ChannelKind.from_code(row["channel"])
    status = shown(
        DeliveryState(row["state"]), SliceState(row["slice_state"]), row["attempt"], row["evidence"]
    )
    reason = REASONS[row["reason"]]
    return Delivery(
        channel=channel,
        purpose=Purpose(row["purpose"]).name.lower(),
        account=row["account"],
        segment=segment_word(row["segment"]),
        contact=row["contact"] or None,
        address=show_address(channel, row["address"], read_pii=read_pii) or None,
        status=status.word,
        reason=reason.code or None,
        reason_text=reason.text or None,
        attempt=row["attempt"],
        sent_at=row["sent_at"],
        settled_at=row["done_at"],
        timeline=list(facts),
    )
