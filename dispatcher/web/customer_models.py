"""What the API answers about customers."""

from datetime import datetime, time
from typing import Annotated, Literal

from pydantic import BaseModel, WithJsonSchema

# Of no zone but the person's own: what JSON Schema calls a time has one.
ClockTime = Annotated[time, WithJsonSchema({"type": "string", "examples": ["22:00:00"]})]


class Stored(BaseModel):
    """What a write came to."""

    result: Literal["created", "updated", "unchanged", "erased", "added", "removed"]


class Usage(BaseModel):
    """A component an account uses; region "" is wherever it runs."""

    component: str
    region: str


class Account(BaseModel):
    """A customer organisation, with its segment and the rule that decided."""

    external_id: str
    name: str
    attributes: dict[str, str | int | float | bool]
    segment: str
    segment_rule: str
    region: str
    locale: str
    time_zone: str
    manager_name: str | None
    manager_email: str | None
    usage: list[Usage]
    contacts: int
    created_at: datetime
    updated_at: datetime
    removed_at: datetime | None


class AccountLine(BaseModel):
    """An account in a list. `manager_name` is null without recipients:read_pii."""

    external_id: str
    name: str
    segment: str
    region: str
    manager_name: str | None
    removed_at: datetime | None


class Reach(BaseModel):
    """One address of a contact, and whether it may be used."""

    channel: str
    address: str
    consented: bool | None
    suppressed: bool


class Wish(BaseModel):
    """Whether a person wants to hear of a component (null: everything) on a channel."""

    component: str | None
    channel: str
    wanted: bool
    chosen: bool


class Contact(BaseModel):
    """A person. `name` is null and addresses are masked without recipients:read_pii."""

    external_id: str
    account: str
    name: str | None
    roles: list[str]
    reach: list[Reach]
    wishes: list[Wish]
    locale: str
    time_zone: str
    quiet_from: ClockTime | None
    quiet_until: ClockTime | None
    created_at: datetime
    updated_at: datetime
    removed_at: datetime | None


class ContactLine(BaseModel):
    """A person in a list, and the channels on which they have an address. `name` as in Contact."""

    external_id: str
    account: str
    name: str | None
    roles: list[str]
    channels: list[str]
    removed_at: datetime | None


class ComponentLine(BaseModel):
    """A part of the product in a list."""

    external_id: str
    name: str
    public_name: str
    removed_at: datetime | None


class Component(BaseModel):
    """A part of the product."""

    external_id: str
    name: str
    public_name: str
    description: str
    accounts: int
    removed_at: datetime | None


class SuppressionView(BaseModel):
    """An address that is not used; `address` is null where only its hash is known."""

    channel: str
    address: str | None
    reason: str
    source: str
    at: datetime
