"""What people do to a draft: change what it says, and send it on its way."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import asyncpg

from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.rules.policy import Severity
from dispatcher.rules.problem import FieldProblem, RefusedError
from dispatcher.stages.accept.body import ENDED, AudienceIn, DraftPatch
from dispatcher.stages.accept.drafts import (
    Change,
    Hand,
    component_names,
    lock_draft,
    record,
    require_draft,
    require_newest,
)
from dispatcher.stages.accept.revise import (
    LAST_SENT_SQL,
    Revision,
    audience_of,
    components,
    refuse_empty_audience,
    refuse_past_promise,
    refuse_unnamed_accounts,
    revision_of,
    unaddressed,
)
from dispatcher.stages.accept.stage import AcceptedUpdate, send_off
from templates.facts import Facts, changed, facts_hash, merge
from templates.render import kind_of

WRITE_SQL = """
update incident_update
set kind = $2, status = $3, severity = $4, visibility = $5, facts = $6, facts_hash = $7, internal = $8,
    audience = $9, component_ids = $10, note = $11
where id = $1
"""
ACCOUNT_NAMES_SQL = "select id, external_id from account where id = any($1::bigint[])"
RELEASE_SQL = """
update incident_update set state = 'accepted', kind = $2 where id = $1 and state = 'draft'
"""


async def edit_draft(
    conn: Connection, ctx: Context, row: asyncpg.Record, patch: DraftPatch, hand: Hand
) -> list[str]:
    """Change a draft whose row the caller has locked; the names of the fields that are other now.

    What stood there before is kept. Raises RefusedError naming each wrong field, and for what is no
    draft any more or was overtaken.
    """
    require_draft(row)
    require_newest(row)
    given = patch.model_fields_set
    before = revision_of(dict(row))
    after = await _patched(conn, ctx, before, patch)
    if patch.facts is not None and "next_update_by" in patch.facts.model_fields_set:
        refuse_past_promise(after, hand.at)
    refuse_unnamed_accounts(after)
    after = await with_kind(conn, row["incident_id"], after)
    note = patch.note if patch.note is not None and "note" in given else row["note"]
    fields = [*_differing(before, after), *(["note"] if note != row["note"] else [])]
    if not fields:
        return []
    await conn.execute(
        WRITE_SQL,
        row["id"],
        after.kind,
        after.status,
        int(after.severity),
        after.visibility,
        after.facts.model_dump(mode="json"),
        facts_hash(after.facts),
        after.internal,
        after.audience,
        after.component_ids,
        note,
    )
    former = await _former(conn, before, row["note"], fields)
    await record(conn, row["id"], "edited", hand, Change(fields, former))
    return fields


async def release_draft(
    conn: Connection, ctx: Context, update_id: int, *, now: datetime
) -> AcceptedUpdate:
    """Send a draft on its way. Raises RefusedError when it is no draft, incomplete or overtaken."""
    row = await lock_draft(conn, update_id)
    require_draft(row)
    require_newest(row)
    revision = revision_of(dict(row))
    problems = [
        FieldProblem(f"/facts/{name}", "missing", f"A message cannot leave without {name}")
        for name in revision.facts.missing(resolved=revision.status in ENDED)
    ]
    if problems:
        raise RefusedError(422, "incomplete-draft", "The draft is not complete", problems)
    refuse_past_promise(revision, now)
    if not revision.is_addressed:
        raise unaddressed("incomplete-draft", "The draft is not complete")
    await refuse_empty_audience(conn, ctx, revision, now)
    # Another update may have left since it was written.
    revision = await with_kind(conn, row["incident_id"], revision)
    await conn.execute(RELEASE_SQL, update_id, revision.kind)
    return await send_off(conn, update_id, row["incident_id"], revision, now=now)


async def with_kind(conn: Connection, incident_id: int, revision: Revision) -> Revision:
    """The revision as what it is to who has read the last one that was sent."""
    last = await conn.fetchrow(LAST_SENT_SQL, incident_id)
    previous = Facts.model_validate(last["facts"]) if last else None
    kind = kind_of(previous, revision.facts, resolved=revision.status in ENDED)
    return replace(revision, kind=kind.value)


async def _patched(conn: Connection, ctx: Context, before: Revision, patch: DraftPatch) -> Revision:
    """What is null is nothing, or everybody; the model lets null stand only where it means that."""
    after = before
    if patch.facts is not None:
        after = replace(after, facts=merge(before.facts, patch.facts))
    if "internal" in patch.model_fields_set:
        internal = patch.internal.model_dump(mode="json") if patch.internal else {}
        after = replace(after, internal=internal)
    if patch.status is not None:
        after = replace(after, status=patch.status)
    if patch.severity is not None:
        after = replace(after, severity=Severity[patch.severity])
    if patch.visibility is not None:
        after = replace(after, visibility=patch.visibility)
    if patch.component_ids is not None:
        numbers = await components(conn, patch.component_ids, "/component_ids")
        after = replace(after, component_ids=tuple(numbers))
    if "audience" in patch.model_fields_set:
        audience = await audience_of(conn, ctx, patch.audience or AudienceIn())
        after = replace(after, audience=audience)
    return after


def _differing(before: Revision, after: Revision) -> Iterator[str]:
    """`facts.title` for a fact, else the name of the field."""
    yield from (f"facts.{name}" for name in sorted(changed(before.facts, after.facts)))
    for name in ("internal", "status", "severity", "visibility", "audience"):
        if getattr(before, name) != getattr(after, name):
            yield name
    if set(before.component_ids) != set(after.component_ids):
        yield "component_ids"


async def _former(
    conn: Connection, before: Revision, note: str, fields: list[str]
) -> dict[str, Any]:
    """What stood in `fields`; facts whole, for they are approved and hashed as one."""
    former: dict[str, Any] = {}
    for name in dict.fromkeys(item.partition(".")[0] for item in fields):
        match name:
            case "facts":
                former[name] = before.facts.model_dump(mode="json")
            case "severity":
                former[name] = before.severity.name
            case "component_ids":
                former[name] = await component_names(conn, before.component_ids)
            case "audience":
                former[name] = await shown_audience(conn, before.audience)
            case "note":
                former[name] = note
            case _:
                former[name] = getattr(before, name)
    return former


async def shown_audience(conn: Connection, stored: Mapping[str, Any]) -> dict[str, Any]:
    """A stored audience with the accounts' own ids, as it may be posted."""
    numbers = [*stored["account_ids"], *stored["exclude"]]
    rows = await conn.fetch(ACCOUNT_NAMES_SQL, numbers) if numbers else []
    names = {row["id"]: row["external_id"] for row in rows}
    shown = {key: sorted(names[n] for n in stored[key]) for key in ("account_ids", "exclude")}
    return {"segments": stored["segments"], "regions": stored["regions"], **shown}
