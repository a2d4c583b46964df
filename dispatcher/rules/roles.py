"""What a person may do follows from one role; a key of theirs has a part of it, evaluated at each use."""

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Final


class Scope(StrEnum):
    """One right of an API key; `admin` has them all."""

    UPDATES_WRITE = "updates:write"
    INCIDENTS_READ = "incidents:read"
    DELIVERIES_READ = "deliveries:read"
    RECIPIENTS_READ_PII = "recipients:read_pii"
    APPROVALS_WRITE = "approvals:write"
    SEGMENTS_WRITE = "segments:write"
    ADMIN = "admin"


class Role(StrEnum):
    """What somebody is to an installation."""

    VIEWER = "viewer"
    ACCOUNT_MANAGER = "account_manager"
    AUTHOR = "author"
    COMMS_LEAD = "comms_lead"
    ADMIN = "admin"


_READS: Final = frozenset({Scope.INCIDENTS_READ, Scope.DELIVERIES_READ})
_WRITES: Final = _READS | {Scope.UPDATES_WRITE}
_LEADS: Final = frozenset({Scope.APPROVALS_WRITE, Scope.SEGMENTS_WRITE, Scope.RECIPIENTS_READ_PII})

SCOPES_OF: Final[Mapping[Role, frozenset[Scope]]] = {
    Role.VIEWER: _READS,
    Role.ACCOUNT_MANAGER: _READS | {Scope.RECIPIENTS_READ_PII},
    Role.AUTHOR: _WRITES,
    Role.COMMS_LEAD: _WRITES | _LEADS,
    Role.ADMIN: frozenset(Scope),
}


def is_limited(role: Role) -> bool:
    """Whether only what concerns their own accounts may be shown to them."""
    return role is Role.ACCOUNT_MANAGER


def all_of(scopes: Collection[str]) -> frozenset[Scope]:
    """Everything that is granted with these: all there is with `admin`.

    What a newer version granted, and this one does not know, grants nothing.
    """
    known = frozenset(scope for scope in Scope if scope in scopes)
    return frozenset(Scope) if Scope.ADMIN in known else known


def granted(scopes: Collection[str], role: Role) -> frozenset[Scope]:
    """What a key with these scopes may do in the hand of somebody with this role."""
    return all_of(scopes) & SCOPES_OF[role]
