"""What people, sessions and keys look like at the API."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, WithJsonSchema
from pydantic.types import StringConstraints

from dispatcher.rules.roles import Role, Scope
from dispatcher.stages.accept.body import Name
from dispatcher.web.lists import Page, PageQuery
from dispatcher.web.people.passwords import LONGEST
from segments.addresses import normalise_email
from templates.facts import Moment


def as_stored(text: str) -> str:
    """An e-mail as somebody types it, in the form in which it is kept; what is none stays as it is."""
    try:
        return normalise_email(text).lower()
    except ValueError:
        return text.strip().lower()


Email = Annotated[
    str,
    StringConstraints(max_length=254),
    AfterValidator(lambda text: normalise_email(text).lower()),
]
Password = Annotated[SecretStr, Field(max_length=LONGEST)]
Token = Annotated[SecretStr, Field(min_length=20, max_length=200)]
Accounts = Annotated[list[Name], Field(max_length=1000)]
# Not the enum itself: the description of the API has a `Scope` already, that of an incident.
ScopeName = Annotated[
    str,
    AfterValidator(lambda text: str(Scope(text))),
    WithJsonSchema({"type": "string", "enum": [str(scope) for scope in Scope]}),
]
Scopes = Annotated[list[ScopeName], Field(min_length=1, max_length=len(Scope))]
OverlapHours = Annotated[int, Field(ge=0, le=24 * 30)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class UserIn(_Strict):
    """Somebody who shall work here. `account_ids`: what a deputy may see besides their own accounts."""

    email: Email
    name: Name
    role: Role
    account_ids: Accounts = []


class UserPatch(_Strict):
    """What is to change; what is left out stays. The e-mail stays: it says who they are."""

    name: Name | None = None
    role: Role | None = None
    disabled: bool | None = None
    account_ids: Accounts | None = None


class UserView(BaseModel):
    """Somebody who works here. Without a password they have not yet used their link, or sign in by OIDC."""

    id: str
    email: str
    name: str
    role: Role
    disabled: bool
    has_password: bool
    signs_in_by_oidc: bool
    account_ids: list[str]
    created_at: datetime


class UserPage(Page[UserView]):
    """People, in the order in which they came."""


class PasswordLink(BaseModel):
    """A way to set a password, once, within a day: post the token and the password to `url`."""

    url: str
    token: str
    expires_at: datetime


class Invited(UserView):
    """Somebody new, and the link to be given to them: it is in this answer and nowhere else."""

    link: PasswordLink


class InvitationIn(_Strict):
    """The token of a link, and the password from now on."""

    token: Token
    password: Password


class PasswordIn(_Strict):
    """A new password, by who knows the old one."""

    old: Password
    new: Password


class SignIn(_Strict):
    """E-mail and password."""

    email: Annotated[str, StringConstraints(max_length=254), AfterValidator(as_stored)]
    password: Password


class Session(BaseModel):
    """`token` is sent as `Authorization: Bearer …`; it ends then, or when it is not used for two hours."""

    token: str
    expires_at: datetime
    user: UserView


class Me(BaseModel):
    """Who is calling. `user` is null for the key of a system; `limited`: own accounts only."""

    kind: Literal["session", "key"]
    key_id: str
    user: UserView | None
    scopes: list[ScopeName]
    limited: bool
    expires_at: datetime | None


class OidcBegun(BaseModel):
    """Where to send the browser; it comes back to `oidc.redirect_url` with `code` and `state`."""

    authorization_url: str
    state: str
    expires_at: datetime


class OidcReturn(_Strict):
    """What the browser came back with."""

    code: Annotated[SecretStr, Field(min_length=1, max_length=4096)]
    state: Token


class KeyIn(_Strict):
    """A key to be made: for yourself, or (by an admin) for a system.

    Left out, `owner` is whoever calls.
    """

    name: Name
    scopes: Scopes
    owner: Literal["me", "system"] | None = None
    expires_in_days: Annotated[int, Field(ge=1, le=3660)] | None = None


class KeyRotateIn(_Strict):
    """How long the old key goes on working beside the new one."""

    overlap_hours: OverlapHours = 24


class KeyView(BaseModel):
    """A key, never its secret. `user_id` is null for a system's. `scopes` as granted, before the role."""

    id: str
    name: str
    user_id: str | None
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    replaced_by: str | None


class KeyMade(KeyView):
    """A key and its text: it is in this answer and nowhere else."""

    key: str


class KeyRevoked(BaseModel):
    """A key that has ended. `successors` came from it by rotation and are good until they are revoked."""

    result: Literal["removed", "unchanged"]
    successors: list[str]


class KeyPage(Page[KeyView]):
    """Keys, oldest first."""


class AuditQuery(PageQuery):
    """Whose doings, on what, which; from `since` on, and before `until`."""

    actor: Annotated[str, Field(max_length=200)] | None = None
    object: Annotated[str, Field(max_length=300)] | None = None
    action: Annotated[str, Field(max_length=100)] | None = None
    since: Moment | None = None
    until: Moment | None = None


class AuditEntry(BaseModel):
    """One thing that somebody did."""

    id: int
    at: datetime
    actor: str
    action: str
    object: str
    detail: dict[str, Any]


class AuditPage(Page[AuditEntry]):
    """What was done, newest first."""
