"""Models as JSON Schema: bodies as they are read, answers as they are written."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from dispatcher.web.routing import Route

Json = dict[str, Any]
Mode = Literal["validation", "serialization"]
_REF: Final = "#/components/schemas/"


class Finding(BaseModel):
    """One thing that is wrong. `pointer` is a JSON pointer into the body, or `?name` of a query parameter."""

    pointer: str = Field(examples=["/facts/title"])
    code: str = Field(description="What is wrong, in one stable word", examples=["missing"])
    detail: str = Field(description="The same for people", examples=["Is missing."])


class Problem(BaseModel):
    """Why a request was refused (RFC 9457). `type` leads to a page that says what to do."""

    type: str = Field(json_schema_extra={"format": "uri"})
    title: str = Field(description="What `type` means, the same every time")
    status: int
    detail: str = Field(
        default="", description="What is wrong this time; left out where `title` says it all"
    )
    request_id: str = Field(
        description="Also in the header X-Request-Id; tell it when you ask for help"
    )
    errors: list[Finding] = Field(default=[], description="Left out where no field is at fault")


class Schemas:
    """All schemas of a set of routes, by model."""

    def __init__(
        self, routes: Sequence[Route[Any, Any]], told: Iterable[type[BaseModel]] = ()
    ) -> None:
        """`told`: models that stand in no route, such as those of our own webhooks."""
        self._queries = {route.query for route in routes}
        pairs: dict[tuple[type[BaseModel], Mode], None] = {}
        for route in routes:
            if route.body is not None:
                pairs[route.body, "validation"] = None
            pairs.update({(model, "serialization"): None for model in route.replies.values()})
        pairs.update({(query, "validation"): None for query in self._queries})
        # What may be left out of a problem is marked so only when it is read.
        pairs[Problem, "validation"] = None
        pairs.update({(model, "serialization"): None for model in told})
        self._references, found = models_json_schema(list(pairs), ref_template=_REF + "{model}")
        self._all: Mapping[str, Json] = found["$defs"]
        for route in routes:
            if route.named_by and route.body is not None:
                schema = self._all[self._name(route.body)]
                schema["required"] = [name for name in schema["required"] if name != route.named_by]
        for schema in self._all.values():
            for item in schema.get("properties", {}).values():
                _drop_impossible_default(item)

    def reference(self, model: type[BaseModel], mode: Mode = "serialization") -> Json:
        """A reference to the schema of a model."""
        return dict(self._references[model, mode])

    def query(self, model: type[BaseModel]) -> Mapping[str, Json]:
        """The schema of each parameter of a query, and of those alone."""
        schema = self._all[self._name(model)]
        return {name: _not_null(item) for name, item in schema.get("properties", {}).items()}

    @property
    def components(self) -> dict[str, Json]:
        """Every schema by name; queries are spelt out where they are used."""
        queries = {self._name(model) for model in self._queries}
        return {name: self._all[name] for name in sorted(self._all) if name not in queries}

    def _name(self, model: type[BaseModel]) -> str:
        return str(self._references[model, "validation"]["$ref"]).removeprefix(_REF)


def _drop_impossible_default(schema: Json) -> None:
    """Null as what stands for "left out" is no value that may be sent, where null is not allowed."""
    if "type" in schema and schema.get("default", "") is None:
        del schema["default"]


def _not_null(schema: Json) -> Json:
    """A parameter that is absent is left out; it cannot be null."""
    kinds = [item for item in schema.get("anyOf", ()) if item != {"type": "null"}]
    rest = {
        key: value
        for key, value in schema.items()
        if key not in {"anyOf", "title"} and not (key == "default" and value is None)
    }
    if len(kinds) == 1:
        return {**kinds[0], **rest}
    return {**rest, "anyOf": kinds} if kinds else rest
