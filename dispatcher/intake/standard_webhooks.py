"""Own systems that sign as Standard Webhooks 1.0: `{"type": …, "timestamp": …, "data": {…}}`."""

from datetime import datetime

from dispatcher.intake import native, proof
from dispatcher.intake.model import Keys, MalformedError, Reading, Request
from dispatcher.intake.shapes import read_json


def verify(request: Request, keys: Keys, *, now: datetime) -> None:
    """Raises ForgedError."""
    proof.standard_webhook(keys, request.body, request.headers, now=now)


def read(request: Request) -> Reading:
    """What one event proposes. Raises MalformedError."""
    body = read_json(request.body)
    ignored = native.unused(body.name("type"))
    if ignored:
        return ignored
    key = request.headers.get("webhook-id", "")
    if not key:
        raise MalformedError("webhook-id", "is missing")
    return native.read_update(body.need("data"), key=key, at=body.when("timestamp"))
