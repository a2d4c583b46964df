"""Whoever adds a route decides what an account manager gets there, and writes it down."""

import re
from pathlib import Path
from typing import Any

from dispatcher.rules.roles import SCOPES_OF, Role
from dispatcher.web.routes import ROUTES
from dispatcher.web.routing import Route
from dispatcher.web.scopes import Guard, Scope
from dispatcher.web.walls import DECISIONS

DOCUMENT = Path(__file__).parents[2] / "docs" / "walls.md"
ROW = re.compile(r"^\| `([A-Z]+ /\S*)` \| ([a-z ]+) \| .+ \|$", re.MULTILINE)


WITHOUT_A_KEY = {
    Guard.OPEN,
    Guard.IN_THE_BODY,
    Guard.BANNER_TOKEN,
    Guard.PROVIDER_SIGNATURE,
    Guard.SENDER_PROOF,
}


def _is_open_to_them(route: Route[Any, Any]) -> bool:
    """Whether a key or a link of theirs gets past the door."""
    if isinstance(route.guard, Scope):
        return route.guard in SCOPES_OF[Role.ACCOUNT_MANAGER]
    return route.guard not in WITHOUT_A_KEY


def test_every_route_an_account_manager_could_reach_is_decided_on_and_no_other() -> None:
    assert set(DECISIONS) == {route.operation for route in ROUTES if _is_open_to_them(route)}


def test_the_document_tells_each_decision_as_it_is() -> None:
    told = ROW.findall(DOCUMENT.read_text("utf-8"))
    decided = [
        (f"{route.method} {route.path}", DECISIONS[route.operation].rule.value)
        for route in ROUTES
        if route.operation in DECISIONS
    ]
    assert sorted(told) == sorted(decided)
