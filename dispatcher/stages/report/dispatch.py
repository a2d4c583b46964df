"""The report of one dispatch, put together."""

from datetime import datetime
from typing import Final

import asyncpg

from dispatcher.db import Connection
from dispatcher.ids import Signer
from dispatcher.rules.policy import Policy, Severity
from dispatcher.rules.problem import not_found
from dispatcher.stages.report.curve import curve
from dispatcher.stages.report.gather import Standing, gathered
from dispatcher.stages.report.lists import accounts, persons
from dispatcher.stages.report.model import Curve, DispatchReport, IncidentHeader, UpdateHeader
from dispatcher.stages.report.people import failures, funnel, people, totals
from dispatcher.stages.report.rollup import mark

LIST_LIMIT: Final = 1000

# first: no earlier update of the incident went out, so the policy's first-notice promise is this one's.
HEADER_SQL: Final = """
select d.id, d.state, d.paused_at, d.wave, d.created_at, d.planned_at, d.completed_at, d.update_id,
       d.incident_id, d.curve, d.curve_of,
       i.source, i.external_id, i.severity as incident_severity, i.status as incident_status,
       i.visibility, i.started_at, i.resolved_at,
       u.seq, u.kind, u.status, u.severity, u.facts, u.at,
       d.wave = 1 and not exists (
           select from incident_update o join dispatch e on e.update_id = o.id
           where o.incident_id = u.incident_id and o.seq < u.seq and o.state <> 'cancelled') as first
from dispatch d
join incident_update u on u.id = d.update_id
join incident i on i.id = d.incident_id
where d.id = $1
"""
LATEST_SQL: Final = "select max(id) from dispatch"


async def latest_dispatch(conn: Connection) -> int | None:
    """The newest dispatch; None when nothing was ever sent."""
    found: int | None = await conn.fetchval(LATEST_SQL)
    return found


async def dispatch_report(
    conn: Connection,
    dispatch_id: int,
    *,
    signer: Signer,
    policy: Policy,
    now: datetime,
    list_limit: int = LIST_LIMIT,
) -> DispatchReport:
    """Everything about one fan-out. Reads all its deliveries once: some ten seconds for 300,000.

    `list_limit` cuts the lists of accounts and people. Raises RefusedError (404) when there is none.
    """
    header = await conn.fetchrow(HEADER_SQL, dispatch_id)
    if header is None:
        raise not_found("dispatch")
    # A draft counts from its release, a later wave from its own decision.
    start: datetime = header["created_at"]
    fresh = header["curve_of"] == await mark(conn, dispatch_id)
    async with gathered(conn, header["update_id"]):
        account_rows, accounts_total = await accounts(conn, dispatch_id, limit=list_limit)
        lost, lost_total = await persons(conn, dispatch_id, Standing.NOT_REACHED, limit=list_limit)
        ask, ask_total = await persons(conn, dispatch_id, Standing.UNCONFIRMED, limit=list_limit)
        return DispatchReport(
            dispatch=signer.public_id("dsp", dispatch_id),
            state=header["state"],
            paused=header["paused_at"] is not None,
            wave=header["wave"],
            incident=_incident(header, signer),
            update=_update(header, signer),
            decided_at=start,
            planned_at=header["planned_at"],
            completed_at=header["completed_at"],
            made_at=now,
            totals=await totals(conn, dispatch_id),
            channels={},
            as_of=now,
            stale=False,
            people=await people(
                conn, dispatch_id, start=start, deadline=_deadline(header, policy), now=now
            ),
            funnel=await funnel(conn, dispatch_id),
            failures=await failures(conn, dispatch_id),
            curve=Curve.model_validate(header["curve"])
            if fresh
            else await curve(conn, dispatch_id, start=start),
            accounts=account_rows,
            accounts_total=accounts_total,
            accounts_cursor=None,
            not_reached=lost,
            not_reached_total=lost_total,
            ask=ask,
            ask_total=ask_total,
        )


def _deadline(header: asyncpg.Record, policy: Policy) -> datetime | None:
    severity = Severity(header["severity"])
    # Maintenance is announced ahead of its beginning, which is another promise than this one.
    if not header["first"] or severity is Severity.planned:
        return None
    # From the beginning of the incident, not the decision: a draft that waits uses the time up.
    started: datetime = header["started_at"]
    return started + policy.of(severity).first_notice_within


def _incident(header: asyncpg.Record, signer: Signer) -> IncidentHeader:
    return IncidentHeader(
        id=signer.public_id("inc", header["incident_id"]),
        source=header["source"],
        external_id=header["external_id"],
        severity=Severity(header["incident_severity"]).name,
        status=header["incident_status"],
        visibility=header["visibility"],
        started_at=header["started_at"],
        resolved_at=header["resolved_at"],
    )


def _update(header: asyncpg.Record, signer: Signer) -> UpdateHeader:
    return UpdateHeader(
        id=signer.public_id("upd", header["update_id"]),
        seq=header["seq"],
        kind=header["kind"],
        status=header["status"],
        severity=Severity(header["severity"]).name,
        title=header["facts"].get("title") or "",
        at=header["at"],
        next_update_by=header["facts"].get("next_update_by"),
    )
