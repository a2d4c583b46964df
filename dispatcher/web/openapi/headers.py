"""Headers that many operations share, each described once."""

from typing import Final

from dispatcher.web.openapi.schemas import Json


def _header(description: str, example: str | int, **more: object) -> Json:
    kind = "integer" if isinstance(example, int) else "string"
    return {"description": description, "schema": {"type": kind}, "example": example, **more}


HEADERS: Final[dict[str, Json]] = {
    "ETag": _header("The version of what is shown.", '"3f8a1c5e7b2d4f6081a9c3e5"', required=True),
    "Idempotency-Replayed": _header("The answer was given before; nothing was done now.", "true"),
    "Link": _header(
        "The next page, where there is one.",
        '<https://status.example.com/v1/incidents?cursor=WzQyXQ%3D%3D>; rel="next"',
    ),
    "Location": _header("Where to look next.", "/v1/dispatches/dsp_…"),
    "RateLimit": _header(
        "How many calls are left, and in how many seconds all of them are.",
        '"default";r=2999;t=1',
        required=True,
    ),
    "RateLimit-Policy": _header(
        "How many calls in how many seconds are taken.", '"default";q=3000;w=60', required=True
    ),
    "Retry-After": _header("Seconds to wait before trying again.", 5),
    "WWW-Authenticate": _header(
        "How to prove who you are.", 'Bearer realm="tidings"', required=True
    ),
    "X-Request-Id": _header(
        "The id of this request: yours where you sent one, else ours.",
        "req_5f3c8e0a91d2b746",
        required=True,
    ),
}

PARAMETERS: Final[dict[str, Json]] = {
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": True,
        "description": "The same on every retry of the same call; kept for 72 hours.",
        "schema": {
            "type": "string",
            "minLength": 1,
            "maxLength": 200,
            "pattern": r"^[!#-~][!-~]*$",
        },
        "example": "INC-42-1",
    },
    "If-Match": {
        "name": "If-Match",
        "in": "header",
        "required": True,
        "description": "The ETag of the version this change is made to; `*` for any.",
        "schema": {"type": "string", "minLength": 1},
        "example": "*",
    },
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "required": False,
        "description": "The ETag you have: 304 when that is still the version.",
        "schema": {"type": "string"},
    },
}
