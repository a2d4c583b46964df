"""One row of the route table as an operation of OpenAPI."""

import re
from inspect import getdoc
from typing import Any, Final

from dispatcher.web.answers import JSON
from dispatcher.web.lists import PageQuery
from dispatcher.web.openapi.examples import BODIES, PATHS
from dispatcher.web.openapi.reach import reach_of
from dispatcher.web.openapi.refusals import Refusals, needs_key
from dispatcher.web.openapi.schemas import Json, Schemas
from dispatcher.web.openapi.words import OPERATION, TAGS, WITHOUT_KEY
from dispatcher.web.routing import Route
from dispatcher.web.scopes import Guard, Scope

_HEADERS: Final = "#/components/headers/"
_PARAMETERS: Final = "#/components/parameters/"
_MADE: Final = frozenset({201, 202})
_FOREIGN: Final = {
    Guard.PROVIDER_SIGNATURE: (JSON, "application/x-www-form-urlencoded"),
    Guard.SENDER_PROOF: (JSON, "application/cloudevents+json"),
}
"""What comes from others, in their words: any body of these types."""


def tag_of(route: Route[Any, Any]) -> tuple[str, str]:
    """The tag and what it is about."""
    first, _, rest = route.path.lstrip("/").partition("/")
    return TAGS.get(rest.partition("/")[0] if first == "v1" else first, OPERATION)


def operation(route: Route[Any, Any], schemas: Schemas, refusals: Refusals) -> Json:
    """The operation object."""
    words = route.operation.replace("_", " ")
    described = [_in_a_line(route.handler), _narrowing(route), _needs(route)]
    found: Json = {
        "operationId": route.operation,
        "summary": words[0].upper() + words[1:],
        "description": "\n\n".join(filter(None, described)),
        "tags": [tag_of(route)[0]],
        "parameters": _parameters(route, schemas),
        "security": _security(route),
    }
    if (body := _body(route, schemas)) is not None:
        found["requestBody"] = body
    # What an operation answers on purpose stands before what anything may be refused with.
    responses = {**refusals.of(route), **_replies(route, schemas)}
    found["responses"] = dict(sorted(responses.items()))
    return found


def _in_a_line(thing: object) -> str:
    paragraphs = (getdoc(thing) or "").split("\n\n")
    return "\n\n".join(" ".join(item.split("\n")) for item in paragraphs)


def _narrowing(route: Route[Any, Any]) -> str:
    """What the parameters mean, where there are some of its own."""
    own = route.query.model_fields.keys() - PageQuery.model_fields.keys()
    return _in_a_line(route.query) if own else ""


def _needs(route: Route[Any, Any]) -> str:
    """What opens it, for people: the page at /docs shows no scopes of keys."""
    if isinstance(route.guard, Scope):
        return f"Needs the scope `{route.guard}`."
    if route.guard is Guard.ANY_KEY:
        return "Needs a key or a session, whatever its scopes."
    return WITHOUT_KEY.get(route.guard, "")


def _guard(route: Route[Any, Any]) -> Guard:
    return route.guard if isinstance(route.guard, Guard) else Guard.ANY_KEY


def _security(route: Route[Any, Any]) -> list[Json]:
    if isinstance(route.guard, Scope):
        return [{"key": [str(route.guard)]}]
    if route.guard is Guard.ANY_KEY:
        return [{"key": []}]
    if route.guard is Guard.BANNER_TOKEN:
        return [{"banner_token": []}]
    if "metrics-token-invalid" in reach_of(route.handler).problems:
        return [{}, {"metrics_token": []}]
    return []


def _parameters(route: Route[Any, Any], schemas: Schemas) -> list[Json]:
    found: list[Json] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1},
            **({"example": PATHS[name]} if name in PATHS else {}),
        }
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]
    for name, schema in schemas.query(route.query).items():
        words = {"description": schema["description"]} if "description" in schema else {}
        required = "default" not in schema and name in route.query.model_fields
        required = required and route.query.model_fields[name].is_required()
        # Several values stand in one parameter, with commas between.
        several = {"style": "form", "explode": False} if schema.get("type") == "array" else {}
        found.append(
            {
                "name": name,
                "in": "query",
                **words,
                "required": required,
                **several,
                "schema": schema,
            }
        )
    return found + [{"$ref": f"{_PARAMETERS}{name}"} for name in _request_headers(route)]


def _request_headers(route: Route[Any, Any]) -> list[str]:
    functions = reach_of(route.handler).functions
    found = []
    if "dispatcher.web.idempotency.read_key" in functions:
        found.append("Idempotency-Key")
    if "dispatcher.web.etags.if_match" in functions:
        found.append("If-Match")
    if _is_read(route):
        found.append("If-None-Match")
    return found


def _is_read(route: Route[Any, Any]) -> bool:
    return route.method == "GET" and 200 in route.replies  # noqa: PLR2004 - the status, as in the table


def _body(route: Route[Any, Any], schemas: Schemas) -> Json | None:
    if route.body is None:
        types = _FOREIGN.get(_guard(route), ())
        if not types or route.method != "POST":
            return None
        words = "As the sender documents it."
        return {"description": words, "required": True, "content": {kind: {} for kind in types}}
    content: Json = {"schema": schemas.reference(route.body, "validation")}
    if examples := BODIES.get(route.operation):
        content["examples"] = {name: {"value": value} for name, value in examples.items()}
    return {"required": True, "content": {JSON: content}}


def _replies(route: Route[Any, Any], schemas: Schemas) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for status, model in route.replies.items():
        found[str(status)] = {
            "description": " ".join((getdoc(model) or "").split("\n")),
            "headers": _headers(route, status),
            "content": {JSON: {"schema": schemas.reference(model)}},
        }
    for status, types in route.media.items():
        found[str(status)] = {
            "description": _MEDIA_WORDS if types else "Done; there is nothing to say.",
            "headers": _headers(route, status),
            "content": {kind: {} for kind in types},
        }
    if _is_read(route):
        found["304"] = {
            "description": "It is still as If-None-Match says.",
            "headers": _headers(route, 304),
        }
    return found


_MEDIA_WORDS: Final = "The thing itself."


def _headers(route: Route[Any, Any], status: int) -> Json:
    texts = reach_of(route.handler).texts
    names = ["X-Request-Id"]
    if _is_read(route) and status in {200, 304}:
        names.append("ETag")
    if status == 200 and issubclass(route.query, PageQuery):  # noqa: PLR2004 - as above
        names.append("Link")
    if status in _MADE and "Location" in texts:
        names.append("Location")
    if status in _MADE and "Idempotency-Replayed" in texts:
        names.append("Idempotency-Replayed")
    if needs_key(route) or route.quota:
        names += ["RateLimit", "RateLimit-Policy"]
    return {name: {"$ref": f"{_HEADERS}{name}"} for name in names}
