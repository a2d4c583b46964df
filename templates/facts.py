"""What is true about an incident, as one revision: the only source every message is made from."""

import hashlib
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from typing import Annotated, Any, Self

import orjson
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from templates.plain import HttpsUrl, Line, LongText, Paragraph, Sentence, ShortLine


def _in_utc(moment: datetime) -> datetime:
    """One instant, one spelling: the hash must not depend on the sender's zone."""
    # The first and the last year have moments that exist in some zones only.
    if not MINYEAR < moment.year < MAXYEAR:
        raise ValueError("must be in a year that every time zone has")
    return moment.astimezone(UTC)


def _or_nothing(kind: Any) -> BeforeValidator:
    """An explicit null removes what was there, also from a list."""
    return BeforeValidator(
        lambda value: () if value is None else value, json_schema_input_type=kind | None
    )


def _written_out(value: object) -> object:
    """Pydantic would take a number of seconds for a moment, even where it stands in a text."""
    if not isinstance(value, datetime) and not (isinstance(value, str) and "T" in value.upper()):
        raise ValueError("must be a date and a time with its zone, such as 2026-11-22T14:30:00Z")
    return value


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc), BeforeValidator(_written_out)]
FewLines = Annotated[tuple[ShortLine, ...], Field(max_length=50)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Scope(_Strict):
    """Who is hit: people in words, regions and features by the names customers know."""

    who: Line | None = None
    regions: FewLines = ()
    features: FewLines = ()


class Workaround(_Strict):
    """What customers can do meanwhile. `validated_by` names who tried it."""

    steps: Annotated[tuple[Sentence, ...], Field(min_length=1, max_length=20)]
    caveats: Paragraph | None = None
    validated_by: Line | None = None


class DataSafe(_Strict):
    """Whether customers' data is safe, and the sentence that says so."""

    safe: bool
    text: Sentence


class Cause(_Strict):
    """Why it happened. Customers read it only once it is confirmed."""

    text: Paragraph
    confirmed: bool = False


class Eta(_Strict):
    """When it is expected to end: always a range, shown only when somebody confirmed it."""

    earliest: Moment
    latest: Moment
    confirmed_by: Annotated[tuple[ShortLine, ...], Field(max_length=10)] = ()

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.latest <= self.earliest:
            raise ValueError(
                "eta.latest must be after eta.earliest: a single point in time is a promise"
            )
        return self


class Link(_Strict):
    """A page worth reading, by name."""

    label: ShortLine
    url: HttpsUrl


_Sentences = Annotated[tuple[Sentence, ...], Field(max_length=10)]
_Links = Annotated[tuple[Link, ...], Field(max_length=10)]


class _FactFields(_Strict):
    title: Line | None = None
    impact: Annotated[Paragraph, Field(max_length=1000)] | None = None
    scope: Scope | None = None
    what_we_do: Paragraph | None = None
    workaround: Workaround | None = None
    do_not: Annotated[_Sentences, _or_nothing(_Sentences)] = ()
    data_safe: DataSafe | None = None
    cause: Cause | None = None
    eta: Eta | None = None
    next_update_by: Moment | None = None
    links: Annotated[_Links, _or_nothing(_Links)] = ()


class Facts(_FactFields):
    """One complete revision. Everything may be unknown; `missing` says what must not be."""

    def missing(self, *, resolved: bool) -> list[str]:
        """Names of the facts without which the update stays a draft."""
        required = ["title", "impact"] if resolved else ["title", "impact", "next_update_by"]
        return [name for name in required if getattr(self, name) is None]


class FactsPatch(_FactFields):
    """A revision as posted: what is omitted stays as it was, an explicit null removes."""


class Flag(_Strict):
    """A feature flag and the state it is in."""

    name: ShortLine
    state: ShortLine


class Internal(_Strict):
    """What only colleagues read; never part of a rendering for anybody else."""

    cause: LongText | None = None
    flags: Annotated[tuple[Flag, ...], Field(max_length=50)] = ()
    script: LongText | None = None


def merge(previous: Facts | None, patch: FactsPatch) -> Facts:
    """The revision that follows `previous` when `patch` is posted; facts are replaced whole."""
    kept = {} if previous is None else _fields(previous)
    posted = {name: getattr(patch, name) for name in patch.model_fields_set}
    return Facts.model_validate(kept | posted)


def changed(previous: Facts | None, current: Facts) -> frozenset[str]:
    """Names of the facts that differ from `previous`; all that are set when there is none."""
    before = _fields(previous or Facts())
    return frozenset(name for name, value in _fields(current).items() if value != before[name])


def facts_hash(facts: Facts) -> str:
    """64 hex digits, equal for equal facts whatever zone or field order they were posted in."""
    canonical = orjson.dumps(facts.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).hexdigest()


def _fields(facts: Facts) -> dict[str, object]:
    return {name: getattr(facts, name) for name in Facts.model_fields}
