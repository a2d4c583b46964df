"""What a finding says to people: which field may have been meant, and plain words for what is missing."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from pydantic import BaseModel

from dispatcher.rules.problem import FieldProblem

# Comparing names costs time, and a body may hold many long ones: nobody reads more.
_MOST_COMPARED: Final = 20
_LONGEST_COMPARED: Final = 64
_NO_OBJECT: Final = frozenset({"model_type", "model_attributes_type", "dict_type"})


def in_words(
    problems: Iterable[FieldProblem], model: type[BaseModel], value: object, *, what: str = "field"
) -> list[FieldProblem]:
    """The findings about `value`, which is not a `model`; an unknown name comes with the one it resembles.

    `what`: what the names stand for.
    """
    return [
        replace(problem, detail=_words(problem, model, value, what, compare=n < _MOST_COMPARED))
        for n, problem in enumerate(problems)
    ]


def _words(
    problem: FieldProblem, model: type[BaseModel], value: object, what: str, *, compare: bool
) -> str:
    parts = problem.pointer.split("/")[1:]
    if problem.code == "extra_forbidden":
        hint = _hint(model, parts) if compare else ""
        return f"There is no such {what}{hint}"
    if problem.code == "missing":
        return "Is missing."
    if problem.code == "string_type" and isinstance(_at(value, parts), bool | int | float):
        return "Must be text: put it in quotes."
    if problem.code in _NO_OBJECT:
        return "Must be an object: names, each with a value."
    return problem.detail


def _hint(model: type[BaseModel], parts: Sequence[str]) -> str:
    known = sorted(_fields(_schema(model), parts[:-1]))
    name = parts[-1]
    near = difflib.get_close_matches(name, known, n=1) if len(name) <= _LONGEST_COMPARED else []
    if near:
        return f"; did you mean {near[0]}?"
    return f"; there are {', '.join(known)}." if known else "; there is none."


@lru_cache(maxsize=256)
def _schema(model: type[BaseModel]) -> Mapping[str, Any]:
    return model.model_json_schema()


def _at(value: object, parts: Sequence[str]) -> object:
    for part in parts:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
    return value


def _fields(schema: Mapping[str, Any], parts: Sequence[str]) -> set[str]:
    """Names of the fields of what stands there; none where that is nothing with fields."""
    here: list[Mapping[str, Any]] = [schema]
    for part in parts:
        here = [inner for item in _choices(schema, here) for inner in _below(item, part)]
    return {name for item in _choices(schema, here) for name in item.get("properties", ())}


def _below(item: Mapping[str, Any], part: str) -> Iterator[Mapping[str, Any]]:
    if part in item.get("properties", {}):
        yield item["properties"][part]
    elif part.isdecimal() and "items" in item:
        yield item["items"]


def _choices(
    schema: Mapping[str, Any], here: Sequence[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    for item in here:
        if "$ref" in item:
            name = item["$ref"].rpartition("/")[2]
            yield from _choices(schema, [schema["$defs"][name]])
        elif "anyOf" in item:
            yield from _choices(schema, item["anyOf"])
        else:
            yield item
