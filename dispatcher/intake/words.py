"""The senders' words for states and severities, in ours. What is not here is decided by the source."""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from dispatcher.rules.policy import Severity
from dispatcher.stages.accept import Status

SeverityName: TypeAlias = Literal["P0", "P1", "P2", "P3", "planned"]

STATUSES: Final[Mapping[str, Status]] = {
    "investigating": "investigating",
    "triage": "investigating",
    "identified": "identified",
    "fixing": "identified",
    "mitigating": "identified",
    "monitoring": "monitoring",
    "resolved": "resolved",
    "closed": "resolved",
    "scheduled": "scheduled",
    "in_progress": "in_progress",
    "verifying": "verifying",
    "completed": "completed",
}

SEVERITIES: Final[Mapping[str, SeverityName]] = {
    "p0": "P0",
    "p1": "P1",
    "p2": "P2",
    "p3": "P3",
    "p4": "P3",
    "p5": "P3",
    "critical": "P1",
    "major": "P1",
    "high": "P1",
    "error": "P2",
    "warning": "P2",
    "moderate": "P2",
    "minor": "P2",
    "low": "P3",
    "info": "P3",
    "none": "P3",
    "maintenance": "planned",
}


def severity_of(word: str, own: Mapping[str, SeverityName]) -> SeverityName | None:
    """Ours for the sender's word; `own` is what the source says, in whatever case. None: no idea."""
    wanted = word.strip().lower()
    chosen = {name.strip().lower(): severity for name, severity in own.items()}
    return chosen.get(wanted) or SEVERITIES.get(wanted)


_NAMES: Final[Mapping[Severity, SeverityName]] = {
    Severity.P0: "P0",
    Severity.P1: "P1",
    Severity.P2: "P2",
    Severity.P3: "P3",
    Severity.planned: "planned",
}


def name_of(severity: Severity) -> SeverityName:
    """The word that stands for it at the API."""
    return _NAMES[severity]
