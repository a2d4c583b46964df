"""By when a slice should have left, and what its leaving adds to the metrics."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from channels.model import ChannelKind
from dispatcher.context import Context
from dispatcher.metrics import DEADLINE_MISSED, PUBLIC, TIME_TO_NOTIFY, one_of
from dispatcher.rules.policy import Severity
from dispatcher.rules.states import Purpose


@dataclass(frozen=True, slots=True)
class Promise:
    """`since`: when its update was on its way; `deadline`: of a first notice, else None."""

    segment: str
    since: datetime
    deadline: datetime | None


def promise_of(ctx: Context, rendering: asyncpg.Record) -> Promise:
    """What was promised to those this rendering is for."""
    deadline = ctx.policy.first_notice_by(
        Severity(rendering["severity"]), rendering["started_at"], first=rendering["first"]
    )
    segment = (
        one_of(rendering["segment"], ctx.segment_rules.segments) if rendering["segment"] else PUBLIC
    )
    return Promise(segment, rendering["on_its_way_at"], deadline)


def note_sent(promise: Promise, row: asyncpg.Record, accepted: int, now: datetime) -> None:
    """Count messages of one slice that a provider has just taken; copies are promised to nobody."""
    if not accepted or row["purpose"] != Purpose.NOTICE:
        return
    kind = ChannelKind.from_code(row["channel"])
    TIME_TO_NOTIFY.observe((now - promise.since).total_seconds(), accepted, kind, promise.segment)
    if promise.deadline is not None and now > promise.deadline:
        DEADLINE_MISSED.labels(promise.segment).inc(accepted)
