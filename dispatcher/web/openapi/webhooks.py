"""What we tell others of: each kind of message as a webhook of OpenAPI."""

from inspect import getdoc
from typing import Final

from dispatcher.announce import MODELS, EventType
from dispatcher.web.answers import JSON
from dispatcher.web.openapi.schemas import Json, Schemas

_HEADERS: Final = {
    "webhook-id": "The same at every attempt: remember it, and do nothing twice.",
    "webhook-timestamp": "When it was sent, in seconds since 1970.",
    "webhook-signature": "One or more of `v1,<base64>`, HMAC-SHA256 over id, timestamp and body.",
}


def webhooks(schemas: Schemas) -> Json:
    """Every kind of message, by its name."""
    return {str(kind): {"post": _message(kind, schemas)} for kind in EventType}


def _message(kind: EventType, schemas: Schemas) -> Json:
    model = MODELS[kind]
    body = {
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"const": str(kind)},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": schemas.reference(model),
        },
    }
    return {
        "operationId": f"told_{kind.name.lower()}",
        "summary": str(kind),
        "description": " ".join((getdoc(model) or "").split()),
        "tags": ["Webhooks"],
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": True,
                "description": words,
                "schema": {"type": "string"},
            }
            for name, words in _HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {JSON: {"schema": body}}},
        "responses": {
            "2XX": {"description": "It was taken. Anything else is tried again, for days."},
            "410": {"description": "Nobody shall be told here any more."},
        },
    }
