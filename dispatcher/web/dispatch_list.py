"""Dispatches as a list, newest first."""

from datetime import datetime
from typing import Annotated, Final, Literal

import asyncpg
from pydantic import BaseModel, Field

from dispatcher.context import Context
from dispatcher.rules.own import told_own
from dispatcher.web.answers import Reply
from dispatcher.web.ids import DISPATCH, INCIDENT, UPDATE, number_of
from dispatcher.web.lists import Page, PageQuery, page_reply, position
from dispatcher.web.routing import Call

DispatchState = Literal["planning", "sending", "completed", "cancelled"]


def _list_sql(narrowed: str) -> str:
    return f"""
select d.id, d.update_id, d.incident_id, d.wave, d.state, d.paused_at, d.created_at, d.planned_at,
       d.completed_at, i.external_id
from dispatch d join incident i on i.id = d.incident_id and not i.canary
where ($1::bigint is null or d.id < $1) {narrowed}
order by d.id desc limit $2
"""


_OWN: Final = f"and {told_own('d.update_id')}"
_OF_INCIDENT: Final = "and d.incident_id = $3 and ($4::text is null or d.state = $4)"
_IN_STATE: Final = "and d.state = $3"
LIST_SQL: Final = _list_sql("")
OWN_LIST_SQL: Final = _list_sql(_OWN)
OF_INCIDENT_SQL: Final = _list_sql(_OF_INCIDENT)
OWN_OF_INCIDENT_SQL: Final = _list_sql(f"{_OF_INCIDENT} {_OWN}")
IN_STATE_SQL: Final = _list_sql(_IN_STATE)
OWN_IN_STATE_SQL: Final = _list_sql(f"{_IN_STATE} {_OWN}")


class DispatchesQuery(PageQuery):
    """`incident`: only what was said about this one; `state`: only dispatches that are so."""

    incident: Annotated[str, Field(max_length=100)] | None = None
    state: DispatchState | None = None


class DispatchLine(BaseModel):
    """A dispatch in a list; GET one for its deliveries by status. `external_id`: of its incident."""

    id: str
    update_id: str
    incident_id: str
    external_id: str
    wave: int
    state: DispatchState
    paused: bool
    created_at: datetime
    planned_at: datetime | None
    completed_at: datetime | None


class DispatchPage(Page[DispatchLine]):
    """Dispatches, newest first."""


async def list_dispatches(call: Call[None, DispatchesQuery]) -> Reply:
    """Newest first; of an incident that is none of ours there are none: 404."""
    after = position(call.query, (int,))
    sql, values = _asked(call)
    async with call.connection() as conn:
        rows = await conn.fetch(sql, after and after[0], call.query.limit + 1, *values)
    views = [_line(call.ctx, row) for row in rows]
    return page_reply(call, views, [(row["id"],) for row in rows], DispatchPage)


def _asked(call: Call[None, DispatchesQuery]) -> tuple[str, tuple[object, ...]]:
    query, own = call.query, call.caller.limited
    if query.incident is not None:
        incident = number_of(call.ctx, INCIDENT, query.incident)
        return OWN_OF_INCIDENT_SQL if own else OF_INCIDENT_SQL, (incident, query.state)
    if query.state is not None:
        return OWN_IN_STATE_SQL if own else IN_STATE_SQL, (query.state,)
    return OWN_LIST_SQL if own else LIST_SQL, ()


def _line(ctx: Context, row: asyncpg.Record) -> DispatchLine:
    public = ctx.signer.public_id
    return DispatchLine(
        id=public(DISPATCH, row["id"]),
        update_id=public(UPDATE, row["update_id"]),
        incident_id=public(INCIDENT, row["incident_id"]),
        external_id=row["external_id"],
        wave=row["wave"],
        state=row["state"],
        paused=row["paused_at"] is not None,
        created_at=row["created_at"],
        planned_at=row["planned_at"],
        completed_at=row["completed_at"],
    )
