"""Real payloads, where there are some: TIDINGS_INTAKE_SAMPLES names a folder of them.

They are not ours to ship; without the variable, a folder `samples/intake` in any neighbour of the
checkout is taken. Each goes in over HTTP with a right proof and comes out as docs/intake.md says.
"""

import os
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from dispatcher.context import Context
from dispatcher.intake.model import Kind
from tests.intake.senders import Sender, source
from tests.web.client import Api

DRAFT, UPDATE, IGNORED = "draft", "update", "ignored"
_SENT_WITH_ALL_IT_NEEDS: Final = {
    "mode": "auto",
    "component_ids": ["checkout"],
    "next_update_within": "30min",
    "trust_titles": True,
}

# What becomes of each when the source may send what people wrote.
EXPECTED: Final[dict[str, tuple[Kind, str]]] = {
    "alertmanager-v4.firing-two-alerts": (Kind.ALERTMANAGER, DRAFT),
    "alertmanager-v4.resolved.DERIVED": (Kind.ALERTMANAGER, DRAFT),
    "cloudevents-1.0.structured.SYNTHETIC": (Kind.CLOUDEVENTS, UPDATE),
    "grafana-11.firing-values": (Kind.GRAFANA, DRAFT),
    "grafana-12.test-alert.SYNTHETIC": (Kind.GRAFANA, DRAFT),
    "grafana-9.mixed-firing-resolved": (Kind.GRAFANA, DRAFT),
    "incidentio.public_incident.incident_created_v2": (Kind.INCIDENTIO, DRAFT),
    "incidentio.public_incident.incident_status_updated_v2": (Kind.INCIDENTIO, UPDATE),
    "opsgenie.alert-close": (Kind.OPSGENIE, DRAFT),
    "opsgenie.alert-create": (Kind.OPSGENIE, DRAFT),
    "pagerduty-v3.incident.priority_updated": (Kind.PAGERDUTY, IGNORED),
    "pagerduty-v3.incident.resolved": (Kind.PAGERDUTY, DRAFT),
    "pagerduty-v3.incident.status_update_published": (Kind.PAGERDUTY, UPDATE),
    "pagerduty-v3.incident.triggered": (Kind.PAGERDUTY, DRAFT),
    "standard-webhooks.signed-request.SYNTHETIC": (Kind.STANDARD_WEBHOOKS, UPDATE),
    "statuspage-v2.incidents": (Kind.STATUSPAGE, IGNORED),
    "statuspage-v2.summary": (Kind.STATUSPAGE, IGNORED),
    "statuspage-webhook.component-update": (Kind.STATUSPAGE, IGNORED),
    "statuspage-webhook.incident-created": (Kind.STATUSPAGE, UPDATE),
    "statuspage-webhook.incident-resolved": (Kind.STATUSPAGE, UPDATE),
}


def samples() -> list[Path]:
    named = os.environ.get("TIDINGS_INTAKE_SAMPLES")
    folders = (
        [Path(named)] if named else Path(__file__).resolve().parents[3].glob("*/samples/intake")
    )
    return [path for folder in sorted(folders) for path in sorted(folder.glob("*.json"))]


def body_of(path: Path) -> bytes:
    raw = path.read_bytes()
    whole: Any = orjson.loads(raw)
    # One sample is a whole request: what was sent is a text in it.
    return whole["body"].encode() if "body" in whole and "headers" in whole else raw


@pytest.mark.usefixtures("people")
@pytest.mark.skipif(not samples(), reason="TIDINGS_INTAKE_SAMPLES names no folder of payloads")
async def test_real_payloads_become_what_the_documentation_says_and_are_told_once(
    api: Api, ctx: Context
) -> None:
    became: dict[str, tuple[Kind, str]] = {}
    for path in samples():
        kind, _ = EXPECTED[path.stem]
        sender: Sender = await source(api, kind, name=path.stem, **_SENT_WITH_ALL_IT_NEEDS)
        answer = await sender.send(body_of(path), ctx.now())
        assert answer.status in {200, 202}, (path, answer.body)
        became[path.stem] = kind, answer.json.get("became", IGNORED)
        again = await sender.send(body_of(path), ctx.now())
        if "ignored" in answer.json:
            assert again.json["ignored"] == answer.json["ignored"], path
        else:
            assert again.headers["Idempotency-Replayed"] == "true", path
            assert again.json["update_id"] == answer.json["update_id"], path
    assert became == {name: EXPECTED[name] for name in became}
