"""Grafana 9 and later: Bearer or Basic; from 12 on, where it is set, a signature over the body.

`X-Grafana-Alerting-Signature` is bare hex. Where the contact point names a header for the time,
`<time>:<body>` is what is signed, and old requests are refused. Both headers may have other names.
"""

from datetime import datetime
from typing import Final

from dispatcher.intake import proof
from dispatcher.intake.alerts import read_group
from dispatcher.intake.model import ForgedError, Keys, Reading, Request
from dispatcher.intake.shapes import read_json

_SIGNATURE: Final = "x-grafana-alerting-signature"
# Grafana has no name of its own for it; these are the ones its manuals use.
_TIMES: Final = ("x-grafana-alerting-signature-timestamp", "x-grafana-alerting-timestamp")


def verify(request: Request, keys: Keys, *, now: datetime) -> None:
    """Raises ForgedError."""
    signature = request.headers.get(keys.signature_header or _SIGNATURE)
    if signature is None:
        proof.shown(keys, request.headers)
        return
    payload = request.body
    times = (keys.timestamp_header,) if keys.timestamp_header else _TIMES
    sent_at = next((request.headers[name] for name in times if name in request.headers), None)
    if sent_at is None and keys.timestamp_header:
        # Whoever leaves out what is always sent wants an old signature to count.
        raise ForgedError
    if sent_at is not None:
        proof.fresh(sent_at, now=now)
        payload = b"%b:%b" % (proof.as_bytes(sent_at), payload)
    proof.signed_in_hex(keys, payload, [signature])


def read(request: Request) -> Reading:
    """What one group of alerts proposes. Raises MalformedError."""
    return read_group(read_json(request.body), sender="Grafana")
