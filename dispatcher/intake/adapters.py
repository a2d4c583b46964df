"""Which adapter reads which kind of source."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Protocol

from dispatcher.intake import (
    alertmanager,
    cloudevents,
    grafana,
    incidentio,
    opsgenie,
    pagerduty,
    standard_webhooks,
    statuspage,
)
from dispatcher.intake.model import Keys, Kind, Reading, Request


class Adapter(Protocol):
    """A module that knows one sender; both functions are pure."""

    def verify(self, request: Request, keys: Keys, *, now: datetime) -> None:
        """Raises ForgedError unless the sender, and nobody else, made this request."""

    def read(self, request: Request) -> Reading:
        """What the request proposes. Raises MalformedError, and nothing else."""


ADAPTERS: Final[Mapping[Kind, Adapter]] = {
    Kind.PAGERDUTY: pagerduty,
    Kind.INCIDENTIO: incidentio,
    Kind.STATUSPAGE: statuspage,
    Kind.GRAFANA: grafana,
    Kind.ALERTMANAGER: alertmanager,
    Kind.OPSGENIE: opsgenie,
    Kind.CLOUDEVENTS: cloudevents,
    Kind.STANDARD_WEBHOOKS: standard_webhooks,
}

SIGNING: Final = frozenset(
    {Kind.PAGERDUTY, Kind.INCIDENTIO, Kind.GRAFANA, Kind.CLOUDEVENTS, Kind.STANDARD_WEBHOOKS}
)
"""Kinds whose secret must be read again to check a signature; of the others a hash is enough."""

WHSEC: Final = frozenset({Kind.INCIDENTIO, Kind.STANDARD_WEBHOOKS, Kind.CLOUDEVENTS})
"""Kinds whose secret is written as Standard Webhooks has it: `whsec_` and base64."""
