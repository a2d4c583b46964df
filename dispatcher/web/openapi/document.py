"""The whole description, and how it is written down."""

from collections import defaultdict
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any, Final

import orjson

from dispatcher.announce import MODELS
from dispatcher.web.openapi.headers import HEADERS, PARAMETERS
from dispatcher.web.openapi.operations import operation, tag_of
from dispatcher.web.openapi.refusals import Refusals
from dispatcher.web.openapi.schemas import Json, Schemas
from dispatcher.web.openapi.webhooks import webhooks
from dispatcher.web.openapi.words import ABOUT, SCHEMES
from dispatcher.web.routing import Route

_HTML: Final = ("text/html",)


def is_api(route: Route[Any, Any]) -> bool:
    """Whether programs call it: not pages for people, nor what only those need."""
    answers = bool(route.replies) or any(types != _HTML for types in route.media.values())
    return (
        answers and route.method != "OPTIONS" and not route.path.startswith(("/reports/", "/demo/"))
    )


def describe(routes: Iterable[Route[Any, Any]]) -> Json:
    """The API of these routes as an OpenAPI 3.1 document."""
    routes = [route for route in routes if is_api(route)]
    schemas = Schemas(routes, MODELS.values())
    refusals = Refusals(schemas)
    paths: dict[str, Json] = defaultdict(dict)
    for route in routes:
        paths[route.path][route.method.lower()] = operation(route, schemas, refusals)
    tags = {name: words for name, words in map(tag_of, routes) if words}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tidings", "version": version("tidings"), "description": ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": words} for name, words in tags.items()],
        "paths": paths,
        "webhooks": webhooks(schemas),
        "components": {
            "schemas": schemas.components,
            "responses": refusals.components,
            "examples": refusals.examples,
            "headers": HEADERS,
            "parameters": PARAMETERS,
            "securitySchemes": SCHEMES,
        },
    }


def written(document: Json) -> bytes:
    """As it is kept and served: readable, and with few differences when little has changed."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
