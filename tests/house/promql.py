"""Enough of PromQL to tell whether an expression is one, and which metrics and labels it speaks of.

Not everything Prometheus takes (no subqueries, offsets or vector matching), so what passes is plain.
"""

import re
from dataclasses import dataclass, field
from typing import Final

_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<name>[a-zA-Z_:][\w:]*)|(?P<string>"(?:[^"\\]|\\.)*")
    |(?P<range>\[(?:\d+[smhd]|\$__rate_interval)\])|(?P<mark>=~|!~|!=|==|<=|>=|[-+*/<>=(){},]))""",
    re.VERBOSE,
)
_WORDS: Final = (
    {"or"},
    {"and", "unless"},
    {"==", "!=", "<", ">", "<=", ">="},
    {"+", "-"},
    {"*", "/"},
)
_AGGREGATES: Final = {"sum", "max", "min", "avg", "count"}
_OF_RANGES: Final = {"rate", "increase"}
_FUNCTIONS: Final = {*_OF_RANGES, "histogram_quantile", "absent", "vector"}


class NotPromQLError(Exception):
    """Where and what."""


@dataclass
class Expression:
    """What was found: metric names, each label asked for with them, and whether ranges fit."""

    metrics: set[str] = field(default_factory=set)
    labels: set[str] = field(default_factory=set)


def parse(text: str) -> Expression:
    """Read one expression. Raises NotPromQLError."""
    tokens, place = [], 0
    while place < len(text.rstrip()):
        match = _TOKEN.match(text, place)
        if match is None or match.lastgroup is None:
            raise NotPromQLError(f"{text[place : place + 20]!r}")
        tokens.append((match.lastgroup, match[match.lastgroup]))
        place = match.end()
    reader = _Reader(tokens)
    reader.binary(0)
    if reader.left:
        raise NotPromQLError(f"more follows: {reader.left[0][1]!r}")
    return reader.found


class _Reader:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.left = tokens
        self.found = Expression()

    def binary(self, level: int) -> None:
        if level == len(_WORDS):
            self._one()
            return
        self.binary(level + 1)
        while self.left and self.left[0][1] in _WORDS[level]:
            self.left.pop(0)
            self.binary(level + 1)

    def _take(self, *wanted: str) -> str:
        if not self.left or not ({*self.left[0]} & {*wanted}):
            raise NotPromQLError(f"wanted {wanted}, not {self.left[:1]}")
        return self.left.pop(0)[1]

    def _at(self, mark: str) -> bool:
        return bool(self.left) and self.left[0][1] == mark

    def _one(self, *, in_range: bool = False) -> None:
        if self._at("("):
            self._take("(")
            self.binary(0)
            self._take(")")
            return
        word = self._take("number", "name")
        if word[0].isdigit():
            return
        if word in _AGGREGATES:
            self._grouping()
            self._arguments()
            self._grouping()
        elif word in _FUNCTIONS:
            self._arguments(of_range=word in _OF_RANGES)
        else:
            self._selector(word, in_range=in_range)

    def _arguments(self, *, of_range: bool = False) -> None:
        self._take("(")
        while True:
            if of_range:
                self._one(in_range=True)
            else:
                self.binary(0)
            if not self._at(","):
                break
            self._take(",")
        self._take(")")

    def _grouping(self) -> None:
        if self._at("by"):
            self._take("by")
            self._take("(")
            while True:
                self.found.labels.add(self._take("name"))
                if not self._at(","):
                    break
                self._take(",")
            self._take(")")

    def _selector(self, name: str, *, in_range: bool) -> None:
        self.found.metrics.add(name)
        if self._at("{"):
            self._take("{")
            while True:
                self.found.labels.add(self._take("name"))
                self._take("=", "!=", "=~", "!~")
                self._take("string")
                if not self._at(","):
                    break
                self._take(",")
            self._take("}")
        if in_range:
            self._take("range")
