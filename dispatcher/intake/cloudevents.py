"""CloudEvents 1.0 over HTTP, structured (`application/cloudevents+json`) or binary (`ce-` headers).

The secret as Bearer, or a signature as Standard Webhooks has it.
"""

import base64
import binascii
from datetime import datetime
from typing import Final
from urllib.parse import unquote

from dispatcher.intake import native, proof
from dispatcher.intake.model import Keys, MalformedError, Reading, Request
from dispatcher.intake.shapes import Node, read_json

_STRUCTURED: Final = "application/cloudevents"
_BATCH: Final = "application/cloudevents-batch"
_ATTRIBUTES: Final = ("specversion", "id", "source", "type")
_TIME: Final = "time"


def verify(request: Request, keys: Keys, *, now: datetime) -> None:
    """Raises ForgedError."""
    if "webhook-signature" in request.headers:
        proof.standard_webhook(keys, request.body, request.headers, now=now)
    else:
        proof.shown(keys, request.headers)


def read(request: Request) -> Reading:
    """What one event proposes. Raises MalformedError."""
    content_type = request.headers.get("content-type", "").lower()
    if content_type.startswith(_BATCH):
        detail = "is a batch, which has no single answer: send each event in a request of its own"
        raise MalformedError("content-type", detail)
    # What the content type says goes before what the headers look like.
    binary = "ce-specversion" in request.headers and not content_type.startswith(_STRUCTURED)
    event = _attributes(request) if binary else read_json(request.body)
    version, name, source, kind = (event.name(part) for part in _ATTRIBUTES)
    if version != "1.0":
        raise MalformedError("/specversion", 'must be "1.0"')
    ignored = native.unused(kind)
    if ignored:
        return ignored
    data = read_json(request.body) if binary else _data(event)
    # The specification makes source and id together unique.
    return native.read_update(data, key=f"{source}\n{name}", at=event.when(_TIME))


def _attributes(request: Request) -> Node:
    """Those in headers; there, what is no plain ASCII is written with per cent signs."""
    given = {name: request.headers.get(f"ce-{name}") for name in (*_ATTRIBUTES, _TIME)}
    for name in _ATTRIBUTES:
        if not given[name]:
            raise MalformedError(f"ce-{name}", "is missing")
    return Node({name: unquote(text) for name, text in given.items() if text is not None})


def _data(event: Node) -> Node:
    encoded = event.get("data_base64")
    if encoded is None:
        return event.need("data")
    try:
        raw = base64.b64decode(encoded.text(), validate=True)
    except (binascii.Error, ValueError):
        raise MalformedError(encoded.pointer, "must be base64") from None
    return Node(read_json(raw).value, "/data")
