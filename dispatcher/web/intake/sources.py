"""`/v1/sources`: make, look at, change, rotate and remove what may tell us of incidents."""

from datetime import timedelta

from dispatcher.audit import note
from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction
from dispatcher.intake import sources
from dispatcher.intake.model import Kind
from dispatcher.intake.sources import Source
from dispatcher.rules.problem import not_found
from dispatcher.web.answers import Reply
from dispatcher.web.customer_models import Stored
from dispatcher.web.etags import IfMatch, etag_of, if_match
from dispatcher.web.ids import SOURCE, number_of
from dispatcher.web.intake.models import (
    RotateIn,
    SourceIn,
    SourcePage,
    SourcePatch,
    SourceView,
    SourceWithSecret,
)
from dispatcher.web.lists import PageQuery, page_reply, position
from dispatcher.web.reading import NoQuery
from dispatcher.web.routing import Call, Plain


async def post_source(call: Call[SourceIn, NoQuery]) -> Reply:
    """Make a source; its secret is in this answer and nowhere else."""
    made = await create_source(call.ctx, call.body, actor=call.actor)
    return Reply(made, 201, {"Location": f"/v1/sources/{made.id}"})


async def list_all(call: Call[None, PageQuery]) -> Reply:
    """In the order in which they were made."""
    after = position(call.query, (int,))
    async with call.connection() as conn:
        rows = await sources.list_sources(
            conn, after=after[0] if after else None, limit=call.query.limit + 1
        )
    views = [source_view(call.ctx, row) for row in rows]
    return page_reply(call, views, [(row.id,) for row in rows], SourcePage)


async def get_source(call: Plain) -> Reply:
    """One source."""
    async with call.connection() as conn:
        return Reply(source_view(call.ctx, await _found(conn, call.ctx, call.path("source_id"))))


async def patch_source(call: Call[SourcePatch, NoQuery]) -> Reply:
    """Change defaults, disable or enable, of the version that If-Match names."""
    changed = await change_source(
        call.ctx,
        call.path("source_id"),
        call.body,
        actor=call.actor,
        seen=if_match(call.request),
    )
    return Reply(changed, headers={"ETag": etag_of(changed)})


async def post_rotate(call: Call[RotateIn, NoQuery]) -> Reply:
    """A new secret; it is in this answer and nowhere else."""
    return Reply(await rotate_source(call.ctx, call.path("source_id"), call.body, actor=call.actor))


async def delete_source(call: Plain) -> Reply:
    """Forget a source, of the version that If-Match names, and what came from it; incidents stay."""
    ctx, public = call.ctx, call.path("source_id")

    async def work(conn: Connection) -> None:
        await _seen(conn, ctx, public, if_match(call.request))
        await sources.remove(conn, number_of(ctx, SOURCE, public))
        await note(conn, at=ctx.now(), actor=call.actor, action="source.remove", thing=public)

    await in_transaction(ctx.pool, work, rng=ctx.rng)
    return Reply(Stored(result="removed"))


async def create_source(ctx: Context, body: SourceIn, *, actor: str) -> SourceWithSecret:
    """Make a source. Raises RefusedError naming each wrong field."""

    async def work(conn: Connection) -> SourceWithSecret:
        now = ctx.now()
        source, secret = await sources.create(
            conn,
            ctx,
            kind=body.kind,
            name=body.name,
            defaults=body.defaults,
            secret=body.secret,
            now=now,
        )
        view = source_view(ctx, source)
        detail = {"kind": source.kind, "mode": source.defaults.mode}
        await note(conn, at=now, actor=actor, action="source.create", thing=view.id, detail=detail)
        return with_secret(view, secret)

    return await in_transaction(ctx.pool, work, rng=ctx.rng)


async def change_source(
    ctx: Context, public: str, body: SourcePatch, *, actor: str, seen: IfMatch | None = None
) -> SourceView:
    """Change what is given. `seen`: only if it is the version that somebody saw.

    Raises RefusedError naming each wrong field.
    """

    async def work(conn: Connection) -> SourceView:
        now = ctx.now()
        if seen is not None:
            await _seen(conn, ctx, public, seen)
        source = await sources.change(
            conn,
            ctx,
            number_of(ctx, SOURCE, public),
            defaults=body.changes,
            disabled=body.disabled,
            now=now,
        )
        if source is None:
            raise not_found("source")
        detail = {"fields": sorted(body.model_fields_set)}
        await note(conn, at=now, actor=actor, action="source.change", thing=public, detail=detail)
        return source_view(ctx, source)

    return await in_transaction(ctx.pool, work, rng=ctx.rng)


async def rotate_source(
    ctx: Context, public: str, body: RotateIn, *, actor: str
) -> SourceWithSecret:
    """A new secret for a source. Raises RefusedError for one that is unfit."""

    async def work(conn: Connection) -> SourceWithSecret:
        now = ctx.now()
        source = await _found(conn, ctx, public)
        overlap = timedelta(hours=body.overlap_hours)
        secret = await sources.rotate(
            conn, ctx, source, secret=body.secret, overlap=overlap, now=now
        )
        await note(conn, at=now, actor=actor, action="source.rotate", thing=public)
        return with_secret(source_view(ctx, source), secret)

    return await in_transaction(ctx.pool, work, rng=ctx.rng)


async def _seen(conn: Connection, ctx: Context, public: str, seen: IfMatch) -> None:
    source = await sources.hold(conn, number_of(ctx, SOURCE, public))
    if source is None:
        raise not_found("source")
    seen.require(source_view(ctx, source))


async def _found(conn: Connection, ctx: Context, public: str) -> Source:
    source = await sources.find(conn, number_of(ctx, SOURCE, public))
    if source is None:
        raise not_found("source")
    return source


def source_view(ctx: Context, source: Source) -> SourceView:
    """As the API shows it."""
    public = ctx.signer.public_id(SOURCE, source.id)
    return SourceView(
        **source.defaults.model_dump(),
        id=public,
        kind=source.kind,
        name=source.name,
        url=f"{ctx.settings.public_url}/v1/intake/{public}",
        disabled=source.disabled_at is not None,
        created_at=source.created_at,
        last_event_at=source.last_event_at,
        last_error=source.last_error,
    )


def with_secret(view: SourceView, secret: str) -> SourceWithSecret:
    """With the secret, and the address that the sender is to be given."""
    fields = view.model_dump()
    if view.kind is Kind.STATUSPAGE:
        fields["url"] = f"{view.url}/{secret}"
    return SourceWithSecret(**fields, secret=secret)
