"""The senders' side: a source of each kind, and requests proved as that sender proves them."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from dispatcher.intake.model import Kind
from tests.web.client import Answer, Api


@dataclass(frozen=True)
class Sender:
    """One source as its sender knows it."""

    api: Api
    kind: Kind
    id: str
    path: str
    secret: str = field(repr=False)

    async def send(
        self, body: object, now: datetime, message: str = "msg_1", **headers: str
    ) -> Answer:
        """Proved as this sender does it; `headers` replace what it would have sent."""
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        proved = {
            "Content-Type": "application/json",
            **proof(self.kind, self.secret, raw, now, message),
            **headers,
        }
        return await self.api.bearing(None).call("POST", self.path, raw=raw, headers=proved)


async def source(api: Api, kind: Kind, **more: Any) -> Sender:
    """Made by the API; `api` may do everything."""
    body = {"kind": kind, "name": f"{kind}-1", **more}
    answer = await api.call("POST", "/v1/sources", body)
    assert answer.status == 201, answer.body
    made = answer.json
    return Sender(api, kind, made["id"], made["url"].removeprefix(api.base), made["secret"])


def proof(kind: Kind, secret: str, raw: bytes, now: datetime, message: str) -> Mapping[str, str]:
    """The headers that prove the sender. Written without our own code, as the judge of it."""
    match kind:
        case Kind.PAGERDUTY:
            right = hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
            return {"X-PagerDuty-Signature": f"v1={'0' * 64},v1={right}"}
        case Kind.INCIDENTIO | Kind.STANDARD_WEBHOOKS:
            return signed_webhook(secret, raw, now, message)
        case Kind.STATUSPAGE:
            return {}
        case Kind.GRAFANA:
            return {
                "X-Grafana-Alerting-Signature": hmac.new(
                    secret.encode(), raw, hashlib.sha256
                ).hexdigest()
            }
        case Kind.ALERTMANAGER:
            pair = base64.b64encode(f"tidings:{secret}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        case Kind.OPSGENIE | Kind.CLOUDEVENTS:
            return {"Authorization": f"Bearer {secret}"}


def signed_webhook(secret: str, raw: bytes, now: datetime, message: str) -> dict[str, str]:
    """The three headers of Standard Webhooks."""
    at = str(int(now.timestamp()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = hmac.new(key, b".".join([message.encode(), at.encode(), raw]), hashlib.sha256)
    return {
        "webhook-id": message,
        "webhook-timestamp": at,
        "webhook-signature": f"v1,{base64.b64encode(signed.digest()).decode()}",
    }
