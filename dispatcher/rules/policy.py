"""The policy file: severity × segment → channels, lane, time to live; checked with line numbers."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import IntEnum
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from channels.model import ChannelKind

ANY_SEGMENT = "*"
RETRY_LANE = 2
_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


class PolicyError(ValueError):
    """The policy cannot be used; the message names file, line, setting and what is expected."""


class Severity(IntEnum):
    """How bad it is; the number is stored, the word is used at the API."""

    P0 = 0
    P1 = 1
    P2 = 2
    P3 = 3
    planned = 4


def _span(value: object) -> timedelta:
    if not isinstance(value, str) or not (match := re.fullmatch(r"(\d{1,6})(s|min|h|d)", value)):
        raise ValueError(
            'write a span as a number and a unit, such as "30s", "15min", "4h" or "7d"'
        )
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


Span = Annotated[timedelta, BeforeValidator(_span)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SeverityPolicy(_Strict):
    """What one severity promises and allows."""

    lane: int = Field(ge=0, le=9)
    first_notice_within: Span
    cadence: Span
    resend_when_unclear: tuple[ChannelKind, ...]
    time_to_live: Mapping[ChannelKind, Span]
    quiet_hours_bind: bool

    @model_validator(mode="after")
    def _lane_is_free(self) -> Self:
        if self.lane == RETRY_LANE:
            raise ValueError(f"lane {RETRY_LANE} is kept for retries")
        return self


class ChannelRule(_Strict):
    """Which channels a segment gets at some severities."""

    segment: str = Field(min_length=1, max_length=60)
    severity: tuple[str, ...] = Field(min_length=1)
    channels: tuple[ChannelKind, ...]


class SocialPolicy(_Strict):
    severity: tuple[str, ...]


class BackoffPolicy(_Strict):
    """How what failed comes back. `retry_share`: of all a sender may send, as much is for retries."""

    base: Span
    cap: Span
    retry_share: float = Field(default=0.2, ge=0.01, le=0.2)


class LimitPolicy(_Strict):
    count: int = Field(ge=1, le=10_000_000)
    per: Span


class SenderPolicy(_Strict):
    limits: tuple[LimitPolicy, ...] = Field(min_length=1)


class Policy(_Strict):
    """The whole file, checked."""

    severity: Mapping[str, SeverityPolicy]
    rule: tuple[ChannelRule, ...] = Field(min_length=1)
    social: SocialPolicy
    backoff: BackoffPolicy
    sender: Mapping[ChannelKind, SenderPolicy]

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        known = {severity.name for severity in Severity}
        if missing := known - set(self.severity):
            raise ValueError(f"severity tables missing: {', '.join(sorted(missing))}")
        used = [*self.severity, *self.social.severity, *(s for r in self.rule for s in r.severity)]
        if unknown := sorted(set(used) - known):
            raise ValueError(
                f"unknown severity: {', '.join(unknown)}; known are {', '.join(sorted(known))}"
            )
        sendable = {ChannelKind.EMAIL, ChannelKind.SMS, ChannelKind.SOCIAL}
        if gaps := sendable - set(self.sender):
            raise ValueError(f"sender tables missing: {', '.join(sorted(gaps))}")
        for name, row in self.severity.items():
            if short := sendable - set(row.time_to_live):
                raise ValueError(f"severity.{name}.time_to_live misses {', '.join(sorted(short))}")
        return self

    def of(self, severity: Severity) -> SeverityPolicy:
        """The row of one severity."""
        return self.severity[severity.name]

    def first_notice_by(
        self, severity: Severity, started: datetime, *, first: bool
    ) -> datetime | None:
        """When everybody should know, counted from the beginning of the incident; None: no promise.

        Not from the decision: a draft that waits uses the time up. Maintenance is announced ahead of
        its beginning, which is another promise than this one.
        """
        if not first or severity is Severity.planned:
            return None
        return started + self.of(severity).first_notice_within

    def channels_for(self, segment: str, severity: Severity) -> tuple[ChannelKind, ...]:
        """Channels of the first rule that matches, empty when none does."""
        for rule in self.rule:
            if rule.segment in {segment, ANY_SEGMENT} and severity.name in rule.severity:
                return rule.channels
        return ()

    def channel_map(
        self, segments: Sequence[str], severity: Severity
    ) -> dict[str, tuple[ChannelKind, ...]]:
        """Channels per segment, for those segments that get any."""
        rows = {segment: self.channels_for(segment, severity) for segment in segments}
        return {segment: channels for segment, channels in rows.items() if channels}

    def posts(self, severity: Severity) -> bool:
        """Whether the public voice speaks at this severity."""
        return severity.name in self.social.severity


def default_policy_text() -> str:
    """The shipped policy file."""
    return files("dispatcher.rules").joinpath("policy.toml").read_text("utf-8")


def load_policy(path: Path | None) -> Policy:
    """The operator's policy, or the shipped one. Raises PolicyError naming file, line and setting."""
    name = str(path) if path else "policy.toml"
    try:
        text = path.read_text("utf-8") if path else default_policy_text()
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"{name}: cannot be read ({error}); check TIDINGS_POLICY_FILE") from error
    return parse_policy(text, name)


def parse_policy(text: str, name: str) -> Policy:
    """Parse and check. Raises PolicyError with one line per finding."""
    try:
        data: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{name}: not valid TOML: {error}") from error
    try:
        return Policy.model_validate(data)
    except ValidationError as error:
        raise PolicyError("\n".join(_findings(error, text, name))) from error


def _findings(error: ValidationError, text: str, name: str) -> Iterator[str]:
    for item in error.errors(include_url=False, include_context=False):
        path = ".".join(str(part) for part in item["loc"])
        yield f"{name}:{_line_of(item['loc'], text)}: {path or 'policy'}: {item['msg']}"


def _line_of(location: tuple[int | str, ...], text: str) -> int:
    """The line of the table or key that `location` names, as near as plain TOML lets us say."""
    lines = text.splitlines()
    table, inside = _table_start(location, lines)
    for part in reversed(inside):
        if isinstance(part, str):
            for number in range(table, len(lines)):
                if number > table and lines[number].lstrip().startswith("["):
                    break
                if (
                    re.match(rf"\s*{re.escape(part)}\s*=", lines[number])
                    or f"{part} =" in lines[number]
                ):
                    return number + 1
    return table + 1


def _table_start(
    location: tuple[int | str, ...], lines: list[str]
) -> tuple[int, tuple[int | str, ...]]:
    if not location:
        return 0, ()
    head, second = location[0], location[1] if len(location) > 1 else None
    if isinstance(second, int):
        starts = [n for n, line in enumerate(lines) if line.strip() == f"[[{head}]]"]
        return (starts[second] if second < len(starts) else 0), location[2:]
    for depth in (2, 1):
        title = f"[{'.'.join(str(part) for part in location[:depth])}]"
        for number, line in enumerate(lines):
            if line.split("#")[0].strip() == title:
                return number, location[depth:]
    return 0, location
