"""One look at everything public, from which each document is cut."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any, Final

import asyncpg

from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.ids import PAGE_KINDS
from dispatcher.rules.policy import Severity
from dispatcher.stages.accept.body import ENDED
from dispatcher.stages.compose import incident_url
from dispatcher.web.ids import COMPONENT, UPDATE
from dispatcher.web.public.models import (
    ComponentStatus,
    Indicator,
    PublicComponent,
    PublicIncident,
    PublicMaintenance,
    PublicPage,
    PublicStatus,
    PublicUpdate,
)
from dispatcher.web.public.words import body_of
from templates.facts import Facts

PAGE_ID: Final = "tidings"

# What is over soon leaves the list; what goes on never does.
INCIDENTS_SQL = """
with recent as (
    select id from incident where visibility = 'public' order by id desc limit 50),
open as (
    select id from incident where visibility = 'public' and resolved_at is null order by id desc limit 200)
select i.id, i.started_at from incident i
where not i.canary and i.id in (select id from recent union select id from open) order by i.id desc
"""
# From when it was approved: before, the words are not decided.
UPDATES_SQL = """
select i.id as incident_id, u.id, u.kind, u.status, u.severity, u.facts, u.component_ids, u.at
from unnest($1::bigint[]) as i (id)
cross join lateral (
    select * from incident_update
    where incident_id = i.id and state in ('approved', 'planned') and visibility = 'public'
    order by seq desc limit 100) u
order by i.id desc, u.seq desc
"""
COMPONENTS_SQL = """
select id, public_name, description, created_at, updated_at from component
where removed_at is null order by public_name, id limit 500
"""

_IMPACT: Final[Mapping[Severity, Indicator]] = {
    Severity.P0: "critical",
    Severity.P1: "major",
    Severity.P2: "minor",
    # Never "none": nothing is fine while something is not.
    Severity.P3: "minor",
    Severity.planned: "maintenance",
}
_COMPONENT: Final[Mapping[Indicator, ComponentStatus]] = {
    "critical": "major_outage",
    "major": "partial_outage",
    "minor": "degraded_performance",
    "maintenance": "under_maintenance",
    "none": "operational",
}
_WORST_FIRST: Final[tuple[Indicator, ...]] = ("critical", "major", "minor", "maintenance")
_IN_WORDS: Final[Mapping[Indicator, str]] = {
    "critical": "Major System Outage",
    "major": "Partial System Outage",
    "minor": "Minor Service Outage",
    "maintenance": "Service Under Maintenance",
    "none": "No open incidents",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Everything public at one moment; incidents and maintenance newest first."""

    page: PublicPage
    status: PublicStatus
    components: Sequence[PublicComponent]
    incidents: Sequence[PublicIncident]
    maintenances: Sequence[PublicMaintenance]


def is_over(incident: PublicIncident) -> bool:
    """Whether the newest thing said is that it has ended."""
    return incident.status in ENDED


async def look(conn: Connection, ctx: Context) -> Look:
    """Three statements, whatever there is."""
    rows = await conn.fetch(INCIDENTS_SQL)
    said: dict[int, list[asyncpg.Record]] = {}
    for row in await conn.fetch(UPDATES_SQL, [row["id"] for row in rows]):
        said.setdefault(row["incident_id"], []).append(row)
    components = await conn.fetch(COMPONENTS_SQL)
    states = _component_states(said.values())
    views = {
        row["id"]: _component(ctx, row, place, states.get(row["id"], "operational"))
        for place, row in enumerate(components, 1)
    }
    incidents = [_incident(ctx, row, said[row["id"]], views) for row in rows if row["id"] in said]
    plain = [item for item in incidents if not isinstance(item, PublicMaintenance)]
    planned = [item for item in incidents if isinstance(item, PublicMaintenance)]
    return Look(
        page=_page(ctx, [*incidents, *views.values()]),
        status=_status(plain, planned),
        components=list(views.values()),
        incidents=plain,
        maintenances=planned,
    )


def _page(ctx: Context, things: Iterable[PublicIncident | PublicComponent]) -> PublicPage:
    return PublicPage(
        id=PAGE_ID,
        name=ctx.settings.brand.name,
        url=ctx.settings.public_url,
        time_zone="Etc/UTC",
        updated_at=max(
            (thing.updated_at for thing in things), default=datetime.fromtimestamp(0, UTC)
        ),
    )


def _status(
    incidents: Sequence[PublicIncident], planned: Sequence[PublicMaintenance]
) -> PublicStatus:
    going_on = {item.impact for item in incidents if not is_over(item)}
    if any(item.status in {"in_progress", "verifying"} for item in planned):
        going_on.add("maintenance")
    worst: Indicator = next((word for word in _WORST_FIRST if word in going_on), "none")
    return PublicStatus(indicator=worst, description=_IN_WORDS[worst])


def _component_states(
    said: Iterable[Sequence[asyncpg.Record]],
) -> dict[int, ComponentStatus]:
    """The worst that the newest updates say of each component they concern."""
    found: dict[int, set[Indicator]] = {}
    for updates in said:
        newest = updates[0]
        impact = _IMPACT[Severity(newest["severity"])]
        if newest["status"] in ENDED | {"scheduled"}:
            continue
        for number in newest["component_ids"]:
            found.setdefault(number, set()).add(impact)
    return {
        number: _COMPONENT[next(word for word in _WORST_FIRST if word in impacts)]
        for number, impacts in found.items()
    }


def _component(
    ctx: Context, row: asyncpg.Record, place: int, status: ComponentStatus
) -> PublicComponent:
    return PublicComponent(
        id=ctx.signer.public_id(COMPONENT, row["id"]),
        name=row["public_name"],
        status=status,
        description=row["description"] or None,
        position=place,
        page_id=PAGE_ID,
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _incident(
    ctx: Context,
    row: asyncpg.Record,
    updates: Sequence[asyncpg.Record],
    components: Mapping[int, PublicComponent],
) -> PublicIncident:
    newest, oldest = updates[0], updates[-1]
    facts = Facts.model_validate(newest["facts"])
    public = ctx.signer.public_id(PAGE_KINDS["public"], row["id"])
    fields: dict[str, Any] = {
        "id": public,
        "name": facts.title or "",
        "status": newest["status"],
        "impact": _IMPACT[Severity(newest["severity"])],
        "shortlink": incident_url(ctx, row["id"], "public"),
        "page_id": PAGE_ID,
        "started_at": row["started_at"],
        "created_at": oldest["at"],
        "updated_at": newest["at"],
        "monitoring_at": _first_at(updates, {"monitoring", "verifying"}),
        "resolved_at": newest["at"] if newest["status"] in ENDED else None,
        "incident_updates": [
            _update(ctx, public, item, before) for item, before in zip_longest(updates, updates[1:])
        ],
        "components": [
            components[number] for number in newest["component_ids"] if number in components
        ],
    }
    if Severity(newest["severity"]) is not Severity.planned:
        return PublicIncident(**fields)
    eta = facts.eta if facts.eta and facts.eta.confirmed_by else None
    return PublicMaintenance(**fields, scheduled_until=eta.latest if eta else None)


def _first_at(updates: Sequence[asyncpg.Record], words: set[str]) -> datetime | None:
    found: datetime | None = next(
        (row["at"] for row in reversed(updates) if row["status"] in words), None
    )
    return found


def _update(
    ctx: Context, incident: str, row: asyncpg.Record, before: asyncpg.Record | None
) -> PublicUpdate:
    body = body_of(
        Facts.model_validate(row["facts"]),
        Facts.model_validate(before["facts"]) if before else None,
        at=row["at"],
        over=row["status"] in ENDED,
    )
    return PublicUpdate(
        id=ctx.signer.public_id(UPDATE, row["id"]),
        incident_id=incident,
        status=row["status"],
        body=body,
        created_at=row["at"],
        updated_at=row["at"],
        display_at=row["at"],
    )
