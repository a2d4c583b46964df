"""Grafana 9 and later: Bearer or Basic; from 12 on, where it is set, a signature over the body.

`X-Grafana-Alerting-Signature` is bare hex. Where the contact point names a header for the time (one of
those below), `<time>:<body>` is what is signed, and old requests are refused.
"""

from datetime import datetime
from typing import Final

from dispatcher.intake import proof
from dispatcher.intake.alerts import read_group
from dispatcher.intake.model import Keys, Reading, Request
from dispatcher.intake.shapes import read_json

# Grafana has no name of its own for it; the first is the one its manual uses.
_TIMES: Final = ("x-grafana-alerting-signature-timestamp", "x-grafana-alerting-timestamp")


def verify(request: Request, keys: Keys, *, now: datetime) -> None:
    """Raises ForgedError."""
    signature = request.headers.get("x-grafana-alerting-signature")
    if signature is None:
        proof.shown(keys, request.headers)
        return
    payload = request.body
    sent_at = next((request.headers[name] for name in _TIMES if name in request.headers), None)
    if sent_at is not None:
        proof.fresh(sent_at, now=now)
        payload = b"%b:%b" % (proof.as_bytes(sent_at), payload)
    proof.signed_in_hex(keys, payload, [signature])


def read(request: Request) -> Reading:
    """What one group of alerts proposes. Raises MalformedError."""
    return read_group(read_json(request.body), sender="Grafana")
