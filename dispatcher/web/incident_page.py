"""`GET /i/{incident}`: the facts the holder of the link may know. Every message links it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
from aiohttp import web

from dispatcher.context import Context
from dispatcher.ids import PAGE_KINDS, ForgedIdError
from dispatcher.web.pages import page, with_etag
from dispatcher.web.routing import POOL_WAIT_S, Plain
from templates.facts import Facts, changed
from templates.times import between, clock, lasted, stamp

INCIDENT_SQL = """
select i.id, i.external_id, i.started_at, i.resolved_at from incident i where i.id = $1
"""
# From when it was approved: before, the words are not decided. Revisions meant for fewer stay out.
UPDATES_SQL = """
select seq, kind, status, facts, at from incident_update
where incident_id = $1 and state in ('approved', 'planned') and visibility = any($2::text[])
order by seq desc limit 200
"""
_ZONE = "UTC"
_FRESH_S = 15


@dataclass(frozen=True, slots=True)
class _Entry:
    """One update of the timeline: when, the status in words, and what was said then."""

    at: str
    iso: str
    status: str
    text: str


async def get_incident_page(call: Plain) -> web.Response:
    """Title, impact, scope, workaround, status, what was said when, and when more will be said."""
    ctx = call.ctx
    try:
        number, circles = _read_link(ctx, call.path("incident_id"))
    except ForgedIdError:
        return _gone()
    async with ctx.pool.acquire(timeout=POOL_WAIT_S) as conn:
        incident = await conn.fetchrow(INCIDENT_SQL, number)
        updates = await conn.fetch(UPDATES_SQL, number, circles) if incident else []
    if incident is None or not updates:
        return _gone()
    response = page("incident.html", _names(ctx, incident, updates))
    return with_etag(call.request, response, max_age_s=_FRESH_S)


def _read_link(ctx: Context, text: str) -> tuple[int, list[str]]:
    """The incident of a link, and the visibilities its holder may read: that of the link, and wider."""
    kind = text.partition("_")[0]
    circles = list(PAGE_KINDS)
    reach = [place for place, circle in enumerate(circles) if PAGE_KINDS[circle] == kind]
    if not reach:
        raise ForgedIdError(kind)
    return ctx.signer.read_public_id(kind, text), circles[: reach[-1] + 1]


def _gone() -> web.Response:
    return page("gone.html", {}, status=404)


def _names(
    ctx: Context, incident: asyncpg.Record, updates: Sequence[asyncpg.Record]
) -> dict[str, Any]:
    newest = updates[0]
    facts, at = Facts.model_validate(newest["facts"]), newest["at"]
    over = newest["kind"] == "resolved"
    # Of what began with its end, nobody knows since when it went on.
    began = None if over and newest["seq"] == 1 else incident["started_at"]
    # Advice and work of earlier updates end with the incident, unless the last one gave them anew.
    open_rows = (row for row in updates if row["kind"] != "resolved")
    last_open = next(open_rows, None)
    before = Facts.model_validate(last_open["facts"]) if last_open else None
    said = changed(before, facts) if over else frozenset(Facts.model_fields)
    return {
        "brand": ctx.settings.brand,
        "reference": incident["external_id"],
        "facts": facts,
        "workaround": facts.workaround if "workaround" in said else None,
        "do_not": facts.do_not if "do_not" in said else (),
        "what_we_do": facts.what_we_do if "what_we_do" in said else None,
        "status": _status(newest["status"]),
        "over": over,
        "noticed": _noticed(over=over, new="impact" in said),
        "started": _time(began) if began else None,
        "updated": _time(at),
        "lasted": lasted(began, incident["resolved_at"])
        if over and began and incident["resolved_at"]
        else None,
        "next_update": _next_update(facts, at, over=over),
        "expected_end": _expected_end(facts, at, over=over),
        "entries": [_entry(row) for row in updates],
    }


def _noticed(*, over: bool, new: bool) -> str | None:
    """The heading of the impact: none where the all-clear wrote it, for it tells the new state."""
    if not over:
        return "What you will notice"
    return None if new else "What you may have noticed"


def _time(moment: datetime) -> dict[str, str]:
    return {"text": stamp(moment, zone=_ZONE), "iso": moment.isoformat()}


def _next_update(facts: Facts, at: datetime, *, over: bool) -> dict[str, str] | None:
    if over or facts.next_update_by is None:
        return None
    moment = facts.next_update_by
    return {"text": clock(moment, on=at, zone=_ZONE), "iso": moment.isoformat()}


def _expected_end(facts: Facts, at: datetime, *, over: bool) -> str | None:
    """Only a range that somebody confirmed is told to customers."""
    if over or facts.eta is None or not facts.eta.confirmed_by:
        return None
    return between(facts.eta.earliest, facts.eta.latest, on=at, zone=_ZONE)


def _entry(row: asyncpg.Record) -> _Entry:
    facts = Facts.model_validate(row["facts"])
    text = facts.what_we_do if row["kind"] != "resolved" else None
    return _Entry(
        at=stamp(row["at"], zone=_ZONE),
        iso=row["at"].isoformat(),
        status=_status(row["status"]),
        text=text or facts.impact or "",
    )


def _status(word: str) -> str:
    return word.replace("_", " ").capitalize()
