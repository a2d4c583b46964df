"""The addresses of people, sessions, keys and the audit log."""

from typing import Any, Final

from dispatcher.web.customer_models import Stored
from dispatcher.web.limits import of_sign_ins
from dispatcher.web.lists import PageQuery
from dispatcher.web.people import audit_log, links, oidc_sessions, own_keys, sessions, users
from dispatcher.web.people.models import (
    AuditPage,
    AuditQuery,
    InvitationIn,
    Invited,
    KeyIn,
    KeyMade,
    KeyPage,
    KeyRevoked,
    KeyRotateIn,
    Me,
    OidcBegun,
    OidcReturn,
    PasswordIn,
    PasswordLink,
    Session,
    SignIn,
    UserIn,
    UserPage,
    UserPatch,
    UserView,
)
from dispatcher.web.reading import NoQuery
from dispatcher.web.routing import Route
from dispatcher.web.rows import act, get
from dispatcher.web.scopes import Guard, Scope

_USERS: Final[tuple[Route[Any, Any], ...]] = (
    get("/v1/users", "list_users", Scope.ADMIN, users.list_all, PageQuery, UserPage),
    Route(
        method="POST",
        path="/v1/users",
        operation="post_user",
        guard=Scope.ADMIN,
        handler=users.post_user,
        query=NoQuery,
        body=UserIn,
        replies={201: Invited},
    ),
    get("/v1/users/{user_id}", "get_user", Scope.ADMIN, users.get_user, NoQuery, UserView),
    Route(
        method="PATCH",
        path="/v1/users/{user_id}",
        operation="patch_user",
        guard=Scope.ADMIN,
        handler=users.patch_user,
        query=NoQuery,
        body=UserPatch,
        replies={200: UserView},
    ),
    act(
        "/v1/users/{user_id}/link",
        "post_user_link",
        Scope.ADMIN,
        users.post_link,
        {201: PasswordLink},
    ),
    get("/v1/audit", "list_audit", Scope.ADMIN, audit_log.list_audit, AuditQuery, AuditPage),
)

# The proof is in the body, so an address may try only so often.
_DOORS: Final[tuple[Route[Any, Any], ...]] = (
    Route(
        method="POST",
        path="/v1/invitations",
        operation="post_invitation",
        guard=Guard.IN_THE_BODY,
        handler=links.post_invitation,
        query=NoQuery,
        body=InvitationIn,
        replies={200: UserView},
        quota=of_sign_ins,
    ),
    Route(
        method="POST",
        path="/v1/sessions",
        operation="post_session",
        guard=Guard.IN_THE_BODY,
        handler=sessions.post_session,
        query=NoQuery,
        body=SignIn,
        replies={201: Session},
        quota=of_sign_ins,
    ),
    Route(
        method="POST",
        path="/v1/sessions/oidc",
        operation="begin_oidc",
        guard=Guard.IN_THE_BODY,
        handler=oidc_sessions.post_begin,
        query=NoQuery,
        replies={201: OidcBegun},
        quota=of_sign_ins,
    ),
    Route(
        method="POST",
        path="/v1/sessions/oidc/callback",
        operation="return_from_oidc",
        guard=Guard.IN_THE_BODY,
        handler=oidc_sessions.post_callback,
        query=NoQuery,
        body=OidcReturn,
        replies={201: Session},
        quota=of_sign_ins,
    ),
)

_OWN: Final[tuple[Route[Any, Any], ...]] = (
    get("/v1/me", "get_me", Guard.ANY_KEY, sessions.get_me, NoQuery, Me),
    Route(
        method="POST",
        path="/v1/me/password",
        operation="post_password",
        guard=Guard.ANY_KEY,
        handler=sessions.post_password,
        query=NoQuery,
        body=PasswordIn,
        replies={200: Stored},
        quota=of_sign_ins,
    ),
    Route(
        method="DELETE",
        path="/v1/sessions/current",
        operation="end_session",
        guard=Guard.ANY_KEY,
        handler=sessions.delete_session,
        query=NoQuery,
        replies={200: Stored},
    ),
    get("/v1/keys", "list_keys", Guard.ANY_KEY, own_keys.list_all, PageQuery, KeyPage),
    Route(
        method="POST",
        path="/v1/keys",
        operation="post_key",
        guard=Guard.ANY_KEY,
        handler=own_keys.post_key,
        query=NoQuery,
        body=KeyIn,
        replies={201: KeyMade},
    ),
    Route(
        method="POST",
        path="/v1/keys/{key_id}/rotate",
        operation="rotate_key",
        guard=Guard.ANY_KEY,
        handler=own_keys.post_rotate,
        query=NoQuery,
        body=KeyRotateIn,
        replies={201: KeyMade},
    ),
    Route(
        method="DELETE",
        path="/v1/keys/{key_id}",
        operation="revoke_key",
        guard=Guard.ANY_KEY,
        handler=own_keys.delete_key,
        query=NoQuery,
        replies={200: KeyRevoked},
    ),
)

PEOPLE_ROUTES: Final = (*_USERS, *_DOORS, *_OWN)
