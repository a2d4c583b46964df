"""What callers may say about accounts, contacts and components; each record is checked by itself.

What a record omits stays as it is; null or "" clears. Lists replace the list that was there, but
subscriptions, which are added to.
"""

import re
from datetime import time
from functools import lru_cache
from typing import Annotated, Final, Literal, TypeAlias
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from segments.addresses import normalise_app_user, normalise_email, normalise_phone
from segments.model import Channel, Problem

# Line breaks forge headers, direction overrides forge what is read, lone surrogates are no text.
_FORBIDDEN: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_CLOCK_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?")
_LOCALE: Final = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")


def _clean(text: str) -> str:
    if _FORBIDDEN.search(text):
        raise ValueError("has a control character in it; remove it.")
    return text


@lru_cache(maxsize=1)
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _time_zone(text: str) -> str:
    if text and text not in _time_zones():
        raise ValueError("is not an IANA time zone such as Europe/Paris.")
    return text


def _locale(text: str) -> str:
    text = text.replace("_", "-")
    if text and not _LOCALE.fullmatch(text):
        raise ValueError("is not a locale such as en or pt-BR.")
    return text


def _clock_time(value: object) -> object:
    """Pydantic would take a number of seconds, and a time with a zone of its own, for a time."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and _CLOCK_TIME.fullmatch(value):
        return time.fromisoformat(value)
    raise ValueError("is not a time of day such as 22:00.")


def _email(text: str) -> str:
    return normalise_email(text) if text else ""


def _phone(text: str) -> str:
    return normalise_phone(text) if text else ""


def _app_user(text: str) -> str:
    return normalise_app_user(text) if text else ""


def _none_is_empty(value: object) -> object:
    return "" if value is None else value


_Line: TypeAlias = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=200), AfterValidator(_clean)
]
_Text: TypeAlias = Annotated[
    _Line, BeforeValidator(_none_is_empty, json_schema_input_type=_Line | None)
]
_Name: TypeAlias = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(_clean),
]
ExternalId: TypeAlias = _Name
_Email: TypeAlias = Annotated[_Text, AfterValidator(_email)]
_TimeZone: TypeAlias = Annotated[_Text, AfterValidator(_time_zone)]
_Locale: TypeAlias = Annotated[_Text, AfterValidator(_locale)]
_ClockTime: TypeAlias = Annotated[
    time | None,
    BeforeValidator(
        _clock_time,
        json_schema_input_type=Annotated[
            str, Field(pattern=rf"^({_CLOCK_TIME.pattern})?$", examples=["22:00"])
        ]
        | None,
    ),
]
_Long: TypeAlias = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=2000), AfterValidator(_clean)
]
_Role: TypeAlias = Annotated[
    str, StringConstraints(strip_whitespace=True, to_lower=True, pattern=r"^[a-z][a-z0-9_-]{0,39}$")
]
_Attribute: TypeAlias = (
    Annotated[bool, Field(strict=True)]
    | Annotated[int, Field(strict=True)]
    | Annotated[float, Field(strict=True, allow_inf_nan=False)]
    | Annotated[str, StringConstraints(max_length=500, strict=True), AfterValidator(_clean)]
)


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    external_id: ExternalId

    def given(self, field: str) -> bool:
        """Whether the record says anything about a field."""
        return field in self.model_fields_set


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class UsageIn(_Part):
    """An account uses a component in a region; region "" is wherever it runs."""

    component: ExternalId
    region: _Text = ""


class ComponentIn(_Record):
    """A part of the product. `public_name` is what customers read; without one, the name."""

    name: _Name
    public_name: _Text = ""
    description: Annotated[
        _Long, BeforeValidator(_none_is_empty, json_schema_input_type=_Long | None)
    ] = ""


class AccountIn(_Record):
    """A customer organisation. `attributes` decide its segment."""

    name: _Name
    attributes: dict[_Name, _Attribute] = Field(default_factory=dict, max_length=100)
    region: _Text = ""
    locale: _Locale = ""
    time_zone: _TimeZone = ""
    manager_name: _Text = ""
    manager_email: _Email = ""
    usage: list[UsageIn] = Field(default_factory=list, max_length=1000)


class SmsConsentIn(_Part):
    """That a person agreed to texts, or took it back: where they said so, and what they were shown."""

    granted: bool
    source: _Name
    wording: _Long = ""


class SubscriptionIn(_Part):
    """Whether a person wants to hear of a component (null: of everything) on a channel."""

    component: ExternalId | None = None
    channel: Literal["email", "sms", "banner"]
    wanted: bool

    @property
    def channel_code(self) -> Channel:
        """The channel as stored."""
        return Channel[self.channel.upper()]


class ContactIn(_Record):
    """A person at an account, with at most one address per channel."""

    account: ExternalId
    name: _Name
    roles: list[_Role] = Field(default_factory=list, max_length=20)
    email: _Email = ""
    phone: Annotated[_Text, AfterValidator(_phone)] = ""
    app_user: Annotated[_Text, AfterValidator(_app_user)] = ""
    locale: _Locale = ""
    time_zone: _TimeZone = ""
    quiet_from: _ClockTime = None
    quiet_until: _ClockTime = None
    sms_consent: SmsConsentIn | None = None
    subscriptions: list[SubscriptionIn] = Field(default_factory=list, max_length=1000)

    @model_validator(mode="after")
    def _consistent(self) -> "ContactIn":
        if self.given("quiet_from") != self.given("quiet_until") or (
            (self.quiet_from is None) != (self.quiet_until is None)
        ):
            raise ValueError("quiet_from and quiet_until must be given together.")
        if self.quiet_from is not None and self.quiet_from == self.quiet_until:
            raise ValueError("quiet_from and quiet_until are the same; omit both for none.")
        if self.sms_consent is not None and not self.phone:
            raise ValueError("sms_consent needs the phone it was given for.")
        wishes = {(wish.component, wish.channel) for wish in self.subscriptions}
        if len(wishes) != len(self.subscriptions):
            raise ValueError("subscriptions name a component and channel twice.")
        return self


_PLAIN_WORDS: Final = {
    "missing": "is missing.",
    "extra_forbidden": "is not a known field; check its spelling.",
    "string_too_short": "must not be empty.",
    "string_type": "must be text.",
}


def problems_of(error: ValidationError, line: int) -> list[Problem]:
    """What is wrong with one record, without repeating what was in it."""
    found = []
    for mistake in error.errors(include_url=False, include_input=False):
        field = ".".join(str(part) for part in mistake["loc"])
        reason = _PLAIN_WORDS.get(mistake["type"])
        if reason is None:
            reason = mistake["msg"].removeprefix("Value error, ")
        found.append(Problem(line, field, reason))
    return found
