"""Which problems an operation may be answered with, and each set of them as one response of the document."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from http.client import CONFLICT, SERVICE_UNAVAILABLE, TOO_MANY_REQUESTS, UNAUTHORIZED
from typing import Any, Final

from dispatcher.web import keys, reading
from dispatcher.web.openapi.reach import reach_of
from dispatcher.web.openapi.schemas import Json, Problem, Schemas
from dispatcher.web.problems import PROBLEMS
from dispatcher.web.receipts import AnyQuery
from dispatcher.web.routing import Route
from dispatcher.web.scopes import Guard, Scope

PROBLEM_JSON: Final = "application/problem+json"
_EXAMPLES: Final = "#/components/examples/"
REFERENCE: Final = "#/components/responses/"
_ANYWHERE: Final = frozenset({"malformed-request", "internal-error", "unavailable"})
_OF_KEYS: Final = reach_of(keys.admit).problems
_OF_BODIES: Final = reach_of(reading.read_json).problems | {"invalid-request"}
_RETRY_AFTER: Final = frozenset({CONFLICT, TOO_MANY_REQUESTS, SERVICE_UNAVAILABLE})


def needs_key(route: Route[Any, Any]) -> bool:
    """Whether nobody gets in without a key or session."""
    return isinstance(route.guard, Scope) or route.guard is Guard.ANY_KEY


def problems_of(route: Route[Any, Any]) -> Mapping[int, tuple[str, ...]]:
    """Kinds of problems by status, in the order of their names."""
    found: dict[int, list[str]] = defaultdict(list)
    for kind in sorted(set(_kinds(route))):
        found[PROBLEMS[kind].status].append(kind)
    return {status: tuple(found[status]) for status in sorted(found)}


def _kinds(route: Route[Any, Any]) -> Iterator[str]:
    yield from _ANYWHERE
    yield from reach_of(route.handler).problems
    if needs_key(route):
        yield from _OF_KEYS
    if isinstance(route.guard, Scope):
        yield "missing-scope"
    if needs_key(route) or route.quota:
        yield "too-many-requests"
    if route.body is not None:
        yield from _OF_BODIES
    if not issubclass(route.query, AnyQuery):
        yield "invalid-query"
    if "{" in route.path:
        yield "not-found"


class Refusals:
    """Collects the responses that operations refer to: many share one."""

    def __init__(self, schemas: Schemas) -> None:
        self._problem = schemas.reference(Problem, "validation")
        self._found: dict[str, Json] = {}

    def of(self, route: Route[Any, Any]) -> dict[str, Json]:
        """References by status."""
        references = {}
        for status, kinds in problems_of(route).items():
            name = f"{status}.{'keys' if set(kinds) == _OF_KEYS else '.'.join(kinds)}"
            self._found[name] = self._response(status, kinds)
            references[str(status)] = {"$ref": f"{REFERENCE}{name}"}
        return references

    @property
    def examples(self) -> dict[str, Json]:
        """One problem of each kind."""
        return {kind: {"value": _example(kind)} for kind in sorted(PROBLEMS)}

    @property
    def components(self) -> dict[str, Json]:
        """Every response that was referred to, by name."""
        return dict(sorted(self._found.items()))

    def _response(self, status: int, kinds: tuple[str, ...]) -> Json:
        headers = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
        if status == UNAUTHORIZED:
            headers["WWW-Authenticate"] = {"$ref": "#/components/headers/WWW-Authenticate"}
        if status in _RETRY_AFTER:
            headers["Retry-After"] = {"$ref": "#/components/headers/Retry-After"}
        schema = {
            "allOf": [self._problem],
            "properties": {
                "type": {"pattern": f"/problems/({'|'.join(kinds)})$"},
                "status": {"const": status},
            },
        }
        examples = {kind: {"$ref": f"{_EXAMPLES}{kind}"} for kind in kinds}
        return {
            "description": "\n".join(f"- `{kind}`: {_words(kind)}" for kind in kinds),
            "headers": headers,
            "content": {PROBLEM_JSON: {"schema": schema, "examples": examples}},
        }


def _words(kind: str) -> str:
    """What it means and what to do; readers take what stands in angle brackets for HTML, and leave it out."""
    row = PROBLEMS[kind]
    return f"{row.meaning} {row.remedy}".replace("<", r"\<")


def _example(kind: str) -> Json:
    row = PROBLEMS[kind]
    return {
        "type": f"https://status.example.com/problems/{kind}",
        "title": row.title,
        "status": row.status,
        "request_id": "req_5f3c8e0a91d2b746",
    }
