"""What an account manager gets to see: decided route by route, and walled off in the database.

A route without a decision here is refused to them. docs/walls.md explains the two walls and what they are
not for.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import asyncpg
import structlog

from dispatcher.db import Connection
from dispatcher.web.answers import WebRefusedError
from dispatcher.web.keys import Caller

log = structlog.get_logger(__name__)

ENTER_SQL: Final = "select step_behind_wall($1)"


class Rule(StrEnum):
    """What a route is to who may see own accounts only."""

    OWN = "own accounts"
    HARMLESS = "harmless"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Decision:
    """`why` is shown with a refusal: what there is instead."""

    rule: Rule
    why: str = ""


_OWN: Final = Decision(Rule.OWN)
_HARMLESS: Final = Decision(Rule.HARMLESS)
_DRAFTS: Final = Decision(
    Rule.REFUSED, "Nobody was told of a draft yet, and it may concern any customer"
)
_TOTALS: Final = Decision(
    Rule.REFUSED,
    "This counts and names all customers of the dispatch; "
    "yours are at /v1/dispatches/{dispatch_id}/accounts",
)
_FILES: Final = Decision(
    Rule.REFUSED,
    "This file would hold all customers; ask for that of one account at /v1/dispatches/{dispatch_id}/exports",
)
_UNDECIDED: Final = Decision(Rule.REFUSED, "This shows more than your own accounts")

DECISIONS: Final[Mapping[str, Decision]] = {
    "list_incidents": _OWN,
    "get_incident": _OWN,
    "list_updates": _OWN,
    "get_update": _OWN,
    "list_drafts": _DRAFTS,
    "get_draft": _DRAFTS,
    "list_draft_revisions": _DRAFTS,
    "list_dispatches": _OWN,
    "get_dispatch": _OWN,
    "list_deliveries": _OWN,
    "get_report": _TOTALS,
    "get_report_json": _TOTALS,
    "list_dispatch_accounts": _OWN,
    "get_dispatch_account": _OWN,
    "list_account_deliveries": _OWN,
    "post_export": _OWN,
    "get_export": _OWN,
    "get_export_file": _OWN,
    "make_report_link": _OWN,
    "report_page": _TOTALS,
    "report_events": _TOTALS,
    "report_file_wanted": _FILES,
    "report_file_page": _FILES,
    "report_file": _FILES,
    "report_account_page": _OWN,
    "list_segments": _OWN,
    "list_channels": _HARMLESS,
    "list_templates": _HARMLESS,
    "get_me": _HARMLESS,
    "post_password": _HARMLESS,
    "end_session": _HARMLESS,
    "list_keys": _HARMLESS,
    "post_key": _HARMLESS,
    "rotate_key": _HARMLESS,
    "revoke_key": _HARMLESS,
}
"""By operation, every route that the scopes of an account manager, or a link of theirs, open."""


def refuse_beyond(caller: Caller, operation: str) -> None:
    """Raises WebRefusedError (403) for who may see own accounts only, where a route shows more."""
    if not caller.limited:
        return
    decision = DECISIONS.get(operation, _UNDECIDED)
    if decision.rule is Rule.REFUSED:
        raise WebRefusedError("own-accounts-only", decision.why)


@asynccontextmanager
async def behind_wall(conn: Connection, person: int | None) -> AsyncIterator[None]:
    """Until the end only what concerns the accounts of this person is there, and nothing can be written.

    Raises WebRefusedError (503) where the database has no such wall: nobody is served without.
    """
    # Role and setting end with the transaction, however it ends: the next user of the connection is free.
    async with conn.transaction(readonly=True):
        try:
            await conn.execute(ENTER_SQL, person)
        except (asyncpg.InsufficientPrivilegeError, asyncpg.InvalidParameterValueError) as error:
            log.warning("http.wall_missing", error=type(error).__name__)
            raise WebRefusedError("wall-missing") from None
        yield
