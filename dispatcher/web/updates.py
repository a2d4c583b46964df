"""`POST /v1/updates`, the one call an upstream needs, and what was made of it."""

from dataclasses import dataclass

from dispatcher import pipeline
from dispatcher.audit import note
from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction
from dispatcher.failpoints import reach
from dispatcher.metrics import UPDATES, one_of
from dispatcher.stages.accept import AcceptedUpdate, UpdateIn
from dispatcher.stages.compose import incident_url
from dispatcher.web import idempotency
from dispatcher.web.answers import Reply
from dispatcher.web.idempotency import Answered, Attempt
from dispatcher.web.ids import DISPATCH, INCIDENT, UPDATE
from dispatcher.web.keys import require_approval
from dispatcher.web.models import UpdateAccepted, UpdateLinks
from dispatcher.web.preview import PREVIEWS, preview
from dispatcher.web.reading import NoQuery
from dispatcher.web.routing import POOL_WAIT_S, Call


async def post_update(call: Call[UpdateIn, NoQuery]) -> Reply:
    """Take one update in, once per Idempotency-Key; 202 is answered after the commit."""
    key = idempotency.read_key(call.request.headers.get("Idempotency-Key"))
    if call.body.mode == "dry_run":
        async with call.request.app[PREVIEWS]:
            shown = await preview(call.ctx, call.body)
        _count(call.ctx, call.body, "dry_run")
        return Reply(shown)
    # What a person writes goes out by itself only where they could approve it as well.
    if call.body.mode == "auto":
        require_approval(call.caller)
    body_hash = idempotency.fingerprint(call.body.model_dump(mode="json", exclude_unset=True))
    attempt = Attempt(call.caller.client, call.caller.key_id, key, body_hash)
    answered, replayed = await accept_once(call.ctx, call.body, attempt, actor=call.caller.actor)
    headers = {"Location": answered.location}
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    return Reply(UpdateAccepted.model_validate(answered.response), answered.status, headers)


async def accept_once(
    ctx: Context, body: UpdateIn, attempt: Attempt, *, actor: str
) -> tuple[Answered, bool]:
    """Take one update in; the same attempt again gets the stored answer, and True.

    Raises RefusedError for what cannot be accepted, or for another body under the same key.
    """
    work = _Acceptance(ctx, body, attempt, actor)
    answered = await in_transaction(ctx.pool, work.run, rng=ctx.rng, wait_s=POOL_WAIT_S)
    await reach("accept.after_commit")
    taken = "accepted" if answered[0].response["dispatch_id"] else "draft"
    _count(ctx, body, "replayed" if answered[1] else taken)
    return answered


def _count(ctx: Context, body: UpdateIn, outcome: str) -> None:
    UPDATES.labels(one_of(body.source, ctx.settings.metrics.sources), outcome).inc()


@dataclass(frozen=True, slots=True)
class _Acceptance:
    """The transaction of one POST; may be begun again after a conflict."""

    ctx: Context
    body: UpdateIn
    attempt: Attempt
    actor: str

    async def run(self, conn: Connection) -> tuple[Answered, bool]:
        now = self.ctx.now()
        before = await idempotency.begin(conn, self.attempt, now=now)
        if before is not None:
            return before, True
        accepted = await pipeline.take_in(conn, self.ctx, self.body, actor=self.actor, now=now)
        view = accepted_view(self.ctx, accepted)
        answer = Answered(202, view.links.location, view.model_dump(mode="json"))
        await idempotency.finish(conn, self.attempt, answer, now=now)
        await note(
            conn,
            at=now,
            actor=self.actor,
            action="update.post",
            thing=view.update_id,
            detail={"state": view.state},
        )
        await reach("accept.before_commit")
        return answer, False


def accepted_view(ctx: Context, accepted: AcceptedUpdate) -> UpdateAccepted:
    """What came of an update, with public ids and where to look next."""
    public = ctx.signer.public_id
    incident = public(INCIDENT, accepted.incident_id)
    update = public(UPDATE, accepted.update_id)
    dispatch = public(DISPATCH, accepted.dispatch_id) if accepted.dispatch_id else None
    return UpdateAccepted(
        incident_id=incident,
        update_id=update,
        dispatch_id=dispatch,
        state=accepted.state,
        missing=list(accepted.missing),
        links=UpdateLinks(
            incident=f"/v1/incidents/{incident}",
            update=f"/v1/updates/{update}",
            dispatch=f"/v1/dispatches/{dispatch}" if dispatch else None,
            draft=f"/v1/drafts/{update}" if accepted.state == "draft" else None,
            page=incident_url(ctx, accepted.incident_id, accepted.visibility),
        ),
    )
