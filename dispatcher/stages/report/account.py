"""What one customer got and when: the question an account manager asks."""

from collections import defaultdict
from datetime import datetime
from typing import Any, Final, NamedTuple

import asyncpg

from dispatcher.db import Connection
from dispatcher.ids import ForgedIdError, Signer
from dispatcher.rules.policy import Severity
from dispatcher.rules.problem import invalid, not_found
from dispatcher.stages.report.account_model import AccountDeliveries, AccountUpdate
from dispatcher.stages.report.deliveries import Found, account_rows, find_account

MAX_LIMIT: Final = 200

UPDATES_SQL: Final = """
select u.id, u.seq, u.kind, u.status, u.severity, u.facts->>'title' as title, u.at,
       i.id as incident_id, i.external_id
from account_update au
join incident_update u on u.id = au.update_id
join incident i on i.id = u.incident_id
where au.account_id = $1 and ($2::bigint is null or au.update_id < $2)
  and ($4::timestamptz is null or u.at >= $4) and ($5::timestamptz is null or u.at < $5)
order by au.update_id desc limit $3
"""


class Which(NamedTuple):
    """`own`: only an own account is there. `since`, `until`: what was said from then on, and before then."""

    own: bool = False
    since: datetime | None = None
    until: datetime | None = None


ALL_UPDATES: Final = Which()


async def account_deliveries(
    conn: Connection,
    external_id: str,
    *,
    signer: Signer,
    limit: int = 20,
    cursor: str | None = None,
    read_pii: bool = False,
    to: Which = ALL_UPDATES,
) -> AccountDeliveries:
    """Up to `limit` updates of one account, and their deliveries, in two look-ups by key.

    Without `read_pii` names and addresses are masked. Raises
    RefusedError: 404 for an unknown account, 422 for a cursor that is not ours or a limit outside 1..200.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise invalid("limit", "out_of_range", f"limit must be between 1 and {MAX_LIMIT}")
    account = await find_account(conn, external_id, own=to.own)
    if account is None:
        raise not_found("account")
    before = _read_cursor(signer, cursor)
    found = await conn.fetch(UPDATES_SQL, account["id"], before, limit + 1, to.since, to.until)
    page = found[:limit]
    deliveries: dict[int, list[Found]] = defaultdict(list)
    updates = [row["id"] for row in page]
    for item in await account_rows(conn, account["id"], updates, read_pii=read_pii):
        deliveries[item.update_id].append(item)
    return AccountDeliveries(
        account=account["external_id"],
        name=account["name"],
        segment=account["segment"],
        manager=account["manager_name"],
        data=tuple(_update(row, signer, deliveries[row["id"]]) for row in page),
        next_cursor=signer.public_id("upd", page[-1]["id"]) if len(found) > limit else None,
    )


def _read_cursor(signer: Signer, cursor: str | None) -> int | None:
    if cursor is None:
        return None
    try:
        return signer.read_public_id("upd", cursor)
    except ForgedIdError:
        raise invalid("cursor", "malformed", "Use next_cursor as it was given") from None


def _update(row: asyncpg.Record, signer: Signer, deliveries: list[Found]) -> AccountUpdate:
    values: dict[str, Any] = {name: row[name] for name in ("seq", "kind", "status", "at")}
    return AccountUpdate(
        update=signer.public_id("upd", row["id"]),
        incident=signer.public_id("inc", row["incident_id"]),
        incident_external_id=row["external_id"],
        severity=Severity(row["severity"]).name,
        title=row["title"] or "",
        # From the evidence at hand: the roll-up may be minutes older than the latest receipt.
        first_told_at=min((at for item in deliveries if (at := item.told_at)), default=None),
        deliveries=tuple(item.row for item in deliveries),
        **values,
    )
