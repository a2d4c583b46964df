"""Grafana 9 and later: Bearer or Basic; from 12 on, where it is set, a signature over the body.

`X-Grafana-Alerting-Signature` is bare hex. Where the contact point names a header for the time, name it
`X-Grafana-Alerting-Timestamp`: then `<time>:<body>` is what is signed, and old requests are refused.
"""

from datetime import datetime

from dispatcher.intake import proof
from dispatcher.intake.alerts import read_group
from dispatcher.intake.model import Keys, Reading, Request
from dispatcher.intake.shapes import read_json


def verify(request: Request, keys: Keys, *, now: datetime) -> None:
    """Raises ForgedError."""
    signature = request.headers.get("x-grafana-alerting-signature")
    if signature is None:
        proof.shown(keys, request.headers)
        return
    payload, sent_at = request.body, request.headers.get("x-grafana-alerting-timestamp")
    if sent_at is not None:
        proof.fresh(sent_at, now=now)
        payload = b"%b:%b" % (proof.as_bytes(sent_at), payload)
    proof.signed_in_hex(keys, payload, [signature])


def read(request: Request) -> Reading:
    """What one group of alerts proposes. Raises MalformedError."""
    return read_group(read_json(request.body), sender="Grafana")
