"""Segments as data: ordered rules over an account's attributes, the first that fits decides."""

import hashlib
import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

AttributeValue: TypeAlias = str | int | float | bool
Attributes: TypeAlias = Mapping[str, AttributeValue]

SHIPPED_RULES: Final = Path(__file__).with_name("rules.toml")


class RulesError(ValueError):
    """The rules cannot be used; the text names file, line, rule and what to do."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Condition(_Strict):
    """What one attribute must be; all that is given must hold.

    An attribute that is not set meets nothing but `exists = false`.
    """

    attribute: str = Field(min_length=1)
    equals: AttributeValue | None = None
    one_of: list[AttributeValue] | None = Field(default=None, alias="in", min_length=1)
    min: float | None = None
    max: float | None = None
    exists: bool | None = None

    @model_validator(mode="after")
    def _asks_something(self) -> "Condition":
        if len(self.model_fields_set) < 2:  # noqa: PLR2004 - the attribute and one question
            raise ValueError("asks nothing: give one of equals, in, min, max, exists.")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is above max, so it never holds.")
        return self

    def holds(self, attributes: Attributes) -> bool:
        """Whether the attributes of an account meet it."""
        value = attributes.get(self.attribute)
        if value is None:
            return self.exists is False
        return all(self._answers(value))

    def _answers(self, value: AttributeValue) -> Iterator[bool]:
        yield self.exists is not False
        if self.equals is not None:
            yield _same(value, self.equals)
        if self.one_of is not None:
            yield any(_same(value, wanted) for wanted in self.one_of)
        if self.min is not None or self.max is not None:
            number = _number(value)
            yield number is not None and (
                (self.min is None or number >= self.min)
                and (self.max is None or number <= self.max)
            )


class Rule(_Strict):
    """One line of the decision: accounts that meet all of `when` belong to `segment`."""

    name: str = Field(min_length=1)
    segment: str
    when: Condition | list[Condition] | None = None

    @property
    def conditions(self) -> list[Condition]:
        """What must hold; nothing for the rule that takes everyone else."""
        if self.when is None:
            return []
        return self.when if isinstance(self.when, list) else [self.when]


class Segment(_Strict):
    """A kind of customer. With `always` it is told of every incident."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")
    always: bool = False


class _File(_Strict):
    segment: list[Segment] = Field(min_length=1)
    rule: list[Rule] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Decision:
    """An account's segment and the name of the rule that decided."""

    segment: str
    rule: str


@dataclass(frozen=True, slots=True)
class Rules:
    """A checked set of rules: the last one, and only the last, has no conditions."""

    segments: tuple[str, ...]
    always_segments: tuple[str, ...]
    rules: tuple[Rule, ...]

    @property
    def digest(self) -> str:
        """The same for two sets that decide alike, rule by rule."""
        text = "\n".join(rule.model_dump_json() for rule in self.rules)
        return hashlib.sha256(text.encode()).hexdigest()


def segment_of(attributes: Attributes, rules: Rules) -> Decision:
    """The first rule that fits decides."""
    for rule in rules.rules:
        if all(condition.holds(attributes) for condition in rule.conditions):
            return Decision(rule.segment, rule.name)
    raise AssertionError("Checked rules end with one that takes everyone.")


def load_rules(path: Path = SHIPPED_RULES) -> Rules:
    """Read and check a rules file. Raises RulesError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RulesError(f"{path}: cannot be read: {error}.") from error
    return parse_rules(text, str(path))


def parse_rules(text: str, source: str) -> Rules:
    """Check rules given as TOML; `source` is named in errors. Raises RulesError."""
    try:
        file = _File.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise RulesError(f"{source}: {error}.") from error
    except ValidationError as error:
        raise RulesError(_first_mistake(error, text, source)) from error
    names = [segment.name for segment in file.segment]
    _check(file, names, text, source)
    always = tuple(segment.name for segment in file.segment if segment.always)
    return Rules(tuple(names), always, tuple(file.rule))


def _check(file: _File, names: list[str], text: str, source: str) -> None:
    if len(set(names)) != len(names):
        raise RulesError(f"{source}: a segment is declared twice.")
    seen: set[str] = set()
    last = len(file.rule) - 1
    for index, rule in enumerate(file.rule):
        at = f"{source}:{_line_of(text, 'rule', index)}: rule {rule.name!r}"
        if rule.segment not in names:
            raise RulesError(
                f"{at} names segment {rule.segment!r}; declared are {', '.join(names)}."
            )
        if rule.name in seen:
            raise RulesError(f"{at} occurs twice; give each rule a name of its own.")
        seen.add(rule.name)
        if not rule.conditions and index != last:
            raise RulesError(
                f"{at} has no `when`, so rules below it are never tried; move it last."
            )
        if rule.conditions and index == last:
            raise RulesError(f"{at} is the last and must take everyone else; remove its `when`.")


def _first_mistake(error: ValidationError, text: str, source: str) -> str:
    mistake = error.errors(include_url=False, include_input=False)[0]
    table, *rest = mistake["loc"] or ("file",)
    index = rest[0] if rest and isinstance(rest[0], int) else None
    line = f":{_line_of(text, str(table), index)}" if index is not None else ""
    where = ".".join(str(part) for part in mistake["loc"])
    return f"{source}{line}: {where}: {mistake['msg'].removeprefix('Value error, ')}"


def _line_of(text: str, table: str, index: int) -> int:
    """The line of the nth [[table]]; tomllib keeps no positions."""
    heads = [
        number
        for number, line in enumerate(text.splitlines(), start=1)
        if re.match(rf"\s*\[\[\s*{re.escape(table)}\s*\]\]", line)
    ]
    return heads[index] if index < len(heads) else 1


def _same(one: AttributeValue, other: AttributeValue) -> bool:
    left, right = _number(one), _number(other)
    if left is not None and right is not None:
        return left == right
    return _text(one) == _text(other)


def _text(value: AttributeValue) -> str:
    return str(value).strip().casefold()


def _number(value: AttributeValue) -> float | None:
    """A number, also where a CSV file carried it as text; truth is not a number."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
