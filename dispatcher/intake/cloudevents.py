"""CloudEvents 1.0 over HTTP, structured (`application/cloudevents+json`) or binary (`ce-` headers).

The secret as Bearer, or a signature as Standard Webhooks has it.
"""

import base64
import binascii
from datetime import datetime
from typing import Final

from dispatcher.intake import native, proof
from dispatcher.intake.model import Keys, MalformedError, Reading, Request
from dispatcher.intake.shapes import Node, read_json

_BATCH: Final = "application/cloudevents-batch"
_ATTRIBUTES: Final = ("specversion", "id", "source", "type")


def verify(request: Request, keys: Keys, *, now: datetime) -> None:
    """Raises ForgedError."""
    if "webhook-signature" in request.headers:
        proof.standard_webhook(keys, request.body, request.headers, now=now)
    else:
        proof.shown(keys, request.headers)


def read(request: Request) -> Reading:
    """What one event proposes. Raises MalformedError."""
    if request.headers.get("content-type", "").lower().startswith(_BATCH):
        raise MalformedError("content-type", "is a batch; send one event at a time")
    if "ce-specversion" in request.headers:
        event = Node({name: request.headers.get(f"ce-{name}") for name in _ATTRIBUTES})
    else:
        event = read_json(request.body)
    version, name, source, kind = (event.name(part) for part in _ATTRIBUTES)
    if version != "1.0":
        raise MalformedError("/specversion", 'must be "1.0"')
    ignored = native.unused(kind)
    if ignored:
        return ignored
    data = read_json(request.body) if "ce-specversion" in request.headers else _data(event)
    # The specification makes source and id together unique.
    return native.read_update(data, key=f"{source}\n{name}")


def _data(event: Node) -> Node:
    encoded = event.get("data_base64")
    if encoded is None:
        return event.need("data")
    try:
        raw = base64.b64decode(encoded.text(), validate=True)
    except (binascii.Error, ValueError):
        raise MalformedError(encoded.pointer, "must be base64") from None
    return Node(read_json(raw).value, "/data")
