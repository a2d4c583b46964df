"""Bodies are what the description says, to the type: "7" is no number, 0 is not false.

Pydantic is more generous than its own JSON Schema, and cannot be told otherwise where a model has a
validator of its own that comes first. So what it has taken is held against the schema once more.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Final, TypeAlias

from pydantic import BaseModel

Path: TypeAlias = tuple[str | int, ...]
Mistake: TypeAlias = tuple[Path, str, str]
"""Where, the stable word for what is wrong, and the same for people."""

_DEFS: Final = "#/$defs/"
_KINDS: Final[Mapping[str, tuple[str, Callable[[Any], bool]]]] = {
    "null": ("none_required", lambda value: value is None),
    "boolean": ("bool_type", lambda value: isinstance(value, bool)),
    "string": ("string_type", lambda value: isinstance(value, str)),
    "array": ("list_type", lambda value: isinstance(value, list)),
    "object": ("dict_type", lambda value: isinstance(value, dict)),
    "number": ("float_type", lambda value: type(value) in {int, float}),
    "integer": ("int_type", lambda value: type(value) in {int, float} and value % 1 == 0),
}
"""Types of JSON Schema: what pydantic calls a mistake about one, and what is one."""


def mistaken_in(value: object, model: type[BaseModel]) -> Iterator[Mistake]:
    """Where a value that `model` has accepted is not of the type that its schema names."""
    schema = _schema_of(model)
    return _mistakes(value, schema, schema.get("$defs", {}), ())


@cache
def _schema_of(model: type[BaseModel]) -> Mapping[str, Any]:
    return model.model_json_schema()


def _mistakes(
    value: Any, schema: Mapping[str, Any], defs: Mapping[str, Any], path: Path
) -> Iterator[Mistake]:
    while "$ref" in schema:
        schema = defs[schema["$ref"].removeprefix(_DEFS)]
    if "anyOf" in schema:
        yield from _of_none(value, schema["anyOf"], defs, path)
        return
    wanted = str(schema.get("type"))
    if wanted in _KINDS:
        code, fits = _KINDS[wanted]
        if not fits(value):
            yield path, code, f"Must be of the JSON type {wanted}"
            return
    for name, item, inner in _parts(value, schema):
        yield from _mistakes(item, inner, defs, (*path, name))
    if schema.get("uniqueItems"):
        yield from _twice(value, path)


def _twice(value: list[Any], path: Path) -> Iterator[Mistake]:
    for place, item in enumerate(value):
        if item in value[:place]:
            yield (*path, place), "given_twice", "Each may occur once"


def _parts(value: Any, schema: Mapping[str, Any]) -> Iterator[tuple[str | int, Any, Any]]:
    """What is in a list or an object, each with its schema."""
    if isinstance(value, list):
        for place, item in enumerate(value):
            yield place, item, schema.get("items", {})
    elif isinstance(value, dict):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties")
        for name, item in value.items():
            yield name, item, properties.get(name, others if isinstance(others, dict) else {})


def _of_none(
    value: Any, choices: list[Mapping[str, Any]], defs: Mapping[str, Any], path: Path
) -> Iterator[Mistake]:
    """Nothing where one of the choices fits; else what is wrong with the one that fits best."""
    found = [list(_mistakes(value, choice, defs, path)) for choice in choices]
    if all(found):
        yield from max(found, key=lambda mistakes: len(mistakes[0][0]))
