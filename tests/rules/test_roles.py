"""Roles: what each may, and that a key never has more than its person's role."""

from typing import get_args

import pytest

from dispatcher.config.oidc import RoleName
from dispatcher.rules.roles import SCOPES_OF, Role, Scope, all_of, granted


@pytest.mark.parametrize("role", Role)
def test_a_key_has_what_it_was_given_and_its_persons_role_has(role: Role) -> None:
    for scope in Scope:
        may = granted([scope], role)
        assert may <= SCOPES_OF[role]
        assert (scope in may) is (scope in SCOPES_OF[role])
    assert granted(["admin"], role) == SCOPES_OF[role]
    assert granted(["no:such_scope"], role) == frozenset()


def test_admin_stands_for_every_scope_in_keys_of_systems() -> None:
    assert all_of(["admin"]) == frozenset(Scope)
    assert all_of(["incidents:read", "of:a_newer_version"]) == {Scope.INCIDENTS_READ}


def test_each_role_of_writers_has_all_that_the_one_below_has() -> None:
    viewer, author, lead, admin = (
        SCOPES_OF[role] for role in (Role.VIEWER, Role.AUTHOR, Role.COMMS_LEAD, Role.ADMIN)
    )
    assert viewer < author < lead < admin
    assert Scope.APPROVALS_WRITE not in author
    assert Scope.ADMIN not in lead


def test_settings_name_the_roles_there_are() -> None:
    assert set(get_args(RoleName)) == set(Role)
