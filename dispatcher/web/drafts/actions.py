"""What people do with a draft, each in one transaction that holds its row: edit, submit, discard."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg

from dispatcher import pipeline
from dispatcher.audit import note
from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction, one_row
from dispatcher.stages.accept import (
    AcceptedUpdate,
    Change,
    DraftPatch,
    Hand,
    decided_on,
    discard_draft,
    edit_draft,
    lock_draft,
    record,
    require_draft,
)
from dispatcher.stages.accept.drafts import Action
from dispatcher.web.drafts.models import Discarded, Draft
from dispatcher.web.drafts.views import ONE_SQL, draft_view
from dispatcher.web.etags import IfMatch, etag_of
from dispatcher.web.ids import UPDATE, number_of
from dispatcher.web.models import UpdateAccepted
from dispatcher.web.routing import POOL_WAIT_S
from dispatcher.web.updates import accepted_view

T = TypeVar("T")
BY_A_PERSON = "discarded by a person"

DISPATCH_SQL = "select id from dispatch where update_id = $1 and wave = 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decider:
    """Somebody who decides about a draft; `match` says which version of it they have seen.

    `public` is its id. Every method raises RefusedError: 404, 409 for what is no draft, 412 and 428 by
    `match`, 422 naming each wrong field.
    """

    ctx: Context
    public: str
    match: IfMatch
    actor: str

    async def edit(self, patch: DraftPatch) -> Draft:
        """Change what is given; the draft as it is then."""

        async def work(conn: Connection) -> Draft:
            row = await self._locked(conn)
            require_draft(row)
            hand = await self._hand(conn, row)
            fields = await edit_draft(conn, self.ctx, row, patch, hand)
            if fields:
                await self._note(conn, hand, "draft.edit", {"fields": fields})
            return await self._view(conn, row)

        return await self._in_transaction(work)

    async def submit(self) -> tuple[UpdateAccepted, bool]:
        """Send it as it was seen. True where that was done before, with what became of it."""

        async def work(conn: Connection) -> tuple[UpdateAccepted, bool]:
            row = await self._locked(conn)
            if await self._was_done(conn, row, "submitted"):
                return accepted_view(self.ctx, await _became(conn, row)), True
            require_draft(row)
            hand = await self._hand(conn, row)
            accepted = await pipeline.release_update(conn, self.ctx, row["id"], now=hand.at)
            await record(conn, row["id"], "submitted", hand, Change())
            await self._note(conn, hand, "draft.submit", {})
            return accepted_view(self.ctx, accepted), False

        return await self._in_transaction(work)

    async def discard(self, why: str) -> Discarded:
        """It shall not leave, ever; nothing happens where it was discarded before."""

        async def work(conn: Connection) -> Discarded:
            row = await self._locked(conn)
            if await self._was_done(conn, row, "discarded"):
                return Discarded(update_id=self.public, state_detail=row["state_detail"])
            require_draft(row)
            hand = await self._hand(conn, row)
            await discard_draft(conn, row["id"], why or BY_A_PERSON, hand)
            await self._note(conn, hand, "draft.discard", {})
            return Discarded(update_id=self.public, state_detail=why or BY_A_PERSON)

        return await self._in_transaction(work)

    async def _locked(self, conn: Connection) -> asyncpg.Record:
        return await lock_draft(conn, number_of(self.ctx, UPDATE, self.public))

    async def _hand(self, conn: Connection, row: asyncpg.Record) -> Hand:
        """Who decides, having seen what the draft is now."""
        view = await self._view(conn, row)
        self.match.require(view)
        return Hand(actor=self.actor, at=self.ctx.now(), seen=etag_of(view))

    async def _was_done(self, conn: Connection, row: asyncpg.Record, action: Action) -> bool:
        """Whether this very decision was made before: it is asked for again when an answer was lost."""
        if row["state"] == "draft":
            return False
        seen = await decided_on(conn, row["id"], action)
        return seen is not None and self.match.names(seen)

    async def _view(self, conn: Connection, row: asyncpg.Record) -> Draft:
        return await draft_view(conn, self.ctx, await one_row(conn, ONE_SQL, row["id"]))

    async def _note(
        self, conn: Connection, hand: Hand, action: str, detail: Mapping[str, Any]
    ) -> None:
        await note(
            conn, at=hand.at, actor=hand.actor, action=action, thing=self.public, detail=detail
        )

    async def _in_transaction(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        return await in_transaction(self.ctx.pool, work, rng=self.ctx.rng, wait_s=POOL_WAIT_S)


async def _became(conn: Connection, row: asyncpg.Record) -> AcceptedUpdate:
    stopped = row["state"] in {"failed", "cancelled"}
    return AcceptedUpdate(
        row["incident_id"],
        row["id"],
        await conn.fetchval(DISPATCH_SQL, row["id"]),
        row["state"] if stopped else "dispatching",
        (),
        row["visibility"],
    )
