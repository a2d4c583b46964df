"""The documents below /api/v2, field by field as Statuspage has them; what we do not know is null."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

Indicator = Literal["none", "minor", "major", "critical", "maintenance"]
ComponentStatus = Literal[
    "operational",
    "degraded_performance",
    "partial_outage",
    "major_outage",
    "under_maintenance",
]


class PublicPage(BaseModel):
    """Whose page it is; `updated_at`: when anything was last said."""

    id: str
    name: str
    url: str
    time_zone: str
    updated_at: datetime


class PublicStatus(BaseModel):
    """The worst that is going on, as a word and in words."""

    indicator: Indicator
    description: str


class PublicComponent(BaseModel):
    """A part of the product, under the name customers know. `position` counts from 1."""

    id: str
    name: str
    status: ComponentStatus
    description: str | None
    position: int
    page_id: str
    created_at: datetime
    updated_at: datetime
    showcase: bool = False
    group: bool = False
    group_id: str | None = None
    only_show_if_degraded: bool = False
    start_date: str | None = None


class PublicUpdate(BaseModel):
    """One thing that was said to everybody."""

    id: str
    incident_id: str
    status: str
    body: str
    created_at: datetime
    updated_at: datetime
    display_at: datetime
    deliver_notifications: bool = True
    affected_components: list[str] | None = None
    custom_tweet: str | None = None
    tweet_id: str | None = None


class PublicIncident(BaseModel):
    """An incident with all that was said to everybody, newest first."""

    id: str
    name: str
    status: str
    impact: Indicator
    shortlink: str
    page_id: str
    started_at: datetime
    created_at: datetime
    updated_at: datetime
    monitoring_at: datetime | None
    resolved_at: datetime | None
    incident_updates: list[PublicUpdate]
    components: list[PublicComponent]


class PublicMaintenance(PublicIncident):
    """Planned work. `scheduled_until` is the end that somebody has confirmed, else null.

    `scheduled_for` is null: an update does not say yet when work begins.
    """

    scheduled_for: datetime | None = None
    scheduled_until: datetime | None


class StatusDocument(BaseModel):
    """`status.json`."""

    page: PublicPage
    status: PublicStatus


class ComponentsDocument(BaseModel):
    """`components.json`."""

    page: PublicPage
    components: list[PublicComponent]


class IncidentsDocument(BaseModel):
    """`incidents.json` and `incidents/unresolved.json`, newest first."""

    page: PublicPage
    incidents: list[PublicIncident]


class MaintenancesDocument(BaseModel):
    """`scheduled-maintenances.json`, newest first."""

    page: PublicPage
    scheduled_maintenances: list[PublicMaintenance]


class SummaryDocument(BaseModel):
    """`summary.json`: what goes on now."""

    page: PublicPage
    status: PublicStatus
    components: list[PublicComponent]
    incidents: list[PublicIncident]
    scheduled_maintenances: list[PublicMaintenance]
