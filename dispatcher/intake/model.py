"""What an adapter is given and what it may answer: a closed set, plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias

from dispatcher.stages.accept import Status
from templates.facts import FactsPatch

ENDED: Final[frozenset[str]] = frozenset({"resolved", "completed"})
NO_FACTS: Final = FactsPatch()


class Kind(StrEnum):
    """Which sender's language a source speaks; one adapter each."""

    PAGERDUTY = "pagerduty"
    INCIDENTIO = "incidentio"
    STATUSPAGE = "statuspage"
    GRAFANA = "grafana"
    ALERTMANAGER = "alertmanager"
    OPSGENIE = "opsgenie"
    CLOUDEVENTS = "cloudevents"
    STANDARD_WEBHOOKS = "standard_webhooks"


class Trouble(StrEnum):
    """Why something that came was not taken, in the inspector's words."""

    FORGED = "forged"
    MALFORMED = "malformed"
    REFUSED = "refused"
    THROTTLED = "throttled"


class ForgedError(Exception):
    """Nothing shows that the request comes from the sender."""


class MalformedError(Exception):
    """The body is not what the sender documents; `pointer` is a JSON pointer, or a header's name."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(f"{pointer or 'the body'}: {detail}")
        self.pointer = pointer
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it arrived; names of headers in lower case. `path_secret`: '' where none was."""

    body: bytes
    headers: Mapping[str, str]
    path_secret: str = ""


@dataclass(frozen=True, slots=True)
class Keys:
    """What proves a sender: `secrets` where it signs, their SHA-256 where it only shows one.

    Names of headers, in lower case, where the operator chose them: '' stands for the usual ones.
    """

    secrets: tuple[bytes, ...] = field(default=(), repr=False)
    hashes: tuple[bytes, ...] = field(default=(), repr=False)
    signature_header: str = ""
    timestamp_header: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateProposal:
    """A person wrote to the people concerned: an update, as far as the source's policy goes.

    `key` is the sender's own for this update. `passed`: keys of older updates that came along and are
    not to be sent any more. `status` None: as the incident stands. `internal_title` is a name that was
    made for colleagues. `severity` and `components` are the sender's words. `at`: when the sender says it
    was; events may overtake each other.
    """

    key: str
    incident_key: str
    status: Status | None
    text: str = ""
    title: str = ""
    internal_title: str = ""
    severity: str = ""
    components: tuple[str, ...] = ()
    next_update_by: datetime | None = None
    facts: FactsPatch = NO_FACTS
    passed: tuple[str, ...] = ()
    link: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing a machine says once; `key` is the sender's own for having said it.

    `opposite`: the key under which it says that the same is over, or that it fires after all.
    """

    key: str
    text: str
    firing: bool = True
    opposite: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftProposal:
    """A machine speaks: a draft for a person to write. `ended`: it proposes that all is over.

    `recurring`: the same `incident_key` comes again for another incident, as that of a group of alerts.
    `at`: as in an update.
    """

    incident_key: str
    heading: str
    alerts: tuple[Alert, ...]
    ended: bool = False
    recurring: bool = False
    severity: str = ""
    components: tuple[str, ...] = ()
    link: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Ignored:
    """A true event that we have no use for, and why."""

    reason: str


Reading: TypeAlias = UpdateProposal | DraftProposal | Ignored
