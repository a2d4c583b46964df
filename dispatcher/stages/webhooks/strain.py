"""Receivers under strain are spared: they are slow, or said that it is too much for them.

They have one message at a time, share a few places (see the clock of the webhooks) and keep none of
those that answer well. What they show at their next attempt decides anew.
"""

from datetime import datetime
from http import HTTPStatus
from typing import Final

from dispatcher.config import WebhookSettings
from dispatcher.db import Connection
from dispatcher.stages.webhooks.outgoing import Outcome
from dispatcher.stages.webhooks.retries import heeded

# Standard Webhooks names these as answers of who has too much to do; 503 says so itself.
_TOO_MUCH: Final = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_SLOW: Final = 1 / 3
"""Of the time that a receiver may take."""

PAUSE_SQL = "select coalesce(not_before, tried_at) from webhook_strain where endpoint_id = $1"
STRAINED_SQL = """
insert into webhook_strain as s (endpoint_id, tried_at, not_before) values ($1, $2, $3)
on conflict (endpoint_id) do update
    set tried_at = excluded.tried_at, not_before = greatest(s.not_before, excluded.not_before)
"""
# What was under way when a receiver asked for a pause does not end it, however it went.
RELIEVED_SQL = """
delete from webhook_strain where endpoint_id = $1 and (not_before is null or not_before <= $2 or $3)
"""


def strains(outcome: Outcome, settings: WebhookSettings) -> bool:
    """Whether an attempt shows that the receiver has too much to do."""
    is_slow = outcome.ms >= settings.timeout_s * 1000 * _SLOW
    return is_slow or outcome.retry_after is not None or outcome.status in _TOO_MUCH


async def pause_of(conn: Connection, endpoint_id: int) -> datetime | None:
    """Before when nothing is sent to an endpoint under strain, perhaps past; None without strain."""
    until: datetime | None = await conn.fetchval(PAUSE_SQL, endpoint_id)
    return until


async def note_strain(
    conn: Connection,
    endpoint_id: int,
    outcome: Outcome,
    settings: WebhookSettings,
    *,
    by_hand: bool,
    now: datetime,
) -> None:
    """What an attempt showed; `by_hand`: a person asked for it, and may end a pause."""
    if strains(outcome, settings):
        asked = outcome.retry_after
        until = now + heeded(asked) if asked is not None else None
        await conn.execute(STRAINED_SQL, endpoint_id, now, until)
    else:
        await conn.execute(RELIEVED_SQL, endpoint_id, now, by_hand)
