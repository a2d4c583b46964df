"""Accounts, contacts and components: put, read, erase. Writing takes the same path as an import."""

from collections.abc import Awaitable, Callable

from pydantic import BaseModel

from dispatcher.audit import note
from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction
from dispatcher.rules.problem import FieldProblem, not_found
from dispatcher.web.answers import Reply, WebRefusedError
from dispatcher.web.customer_models import Stored
from dispatcher.web.customer_views import read_account, read_component, read_contact
from dispatcher.web.reading import NoQuery
from dispatcher.web.routing import POOL_WAIT_S, Call, Plain
from dispatcher.web.scopes import Scope
from segments.model import Outcome
from segments.records import AccountIn, ComponentIn, ContactIn
from segments.store import erase_contact, upsert_accounts, upsert_components, upsert_contacts

CONTACT_NUMBER_SQL = "select id from contact where external_id = $1"


async def put_account(call: Call[AccountIn, NoQuery]) -> Reply:
    """Create or change; what is left out stays."""
    ctx, record = call.ctx, call.body

    async def write(conn: Connection) -> Outcome:
        return await upsert_accounts(conn, [(0, record)], rules=ctx.segment_rules, now=ctx.now())

    return await _put(call.ctx, write, kind="account", name=record.external_id, actor=call.actor)


async def put_contact(call: Call[ContactIn, NoQuery]) -> Reply:
    """Create or change; what is left out stays."""
    ctx, record = call.ctx, call.body

    async def write(conn: Connection) -> Outcome:
        return await upsert_contacts(conn, [(0, record)], hash_key=ctx.address_key, now=ctx.now())

    return await _put(call.ctx, write, kind="contact", name=record.external_id, actor=call.actor)


async def put_component(call: Call[ComponentIn, NoQuery]) -> Reply:
    """Create or change; what is left out stays."""
    ctx, record = call.ctx, call.body

    async def write(conn: Connection) -> Outcome:
        return await upsert_components(conn, [(0, record)], now=ctx.now())

    return await _put(call.ctx, write, kind="component", name=record.external_id, actor=call.actor)


async def get_account(call: Plain) -> Reply:
    """One account with what it uses."""
    name, read_pii = call.path("external_id"), call.caller.may(Scope.RECIPIENTS_READ_PII)
    async with call.connection() as conn:
        return _found(await read_account(conn, name, read_pii=read_pii), "account")


async def get_contact(call: Plain) -> Reply:
    """One contact; name and addresses in full only with recipients:read_pii."""
    name, read_pii = call.path("external_id"), call.caller.may(Scope.RECIPIENTS_READ_PII)
    async with call.connection() as conn:
        return _found(await read_contact(conn, name, read_pii=read_pii), "contact")


async def get_component(call: Plain) -> Reply:
    """One component."""
    async with call.connection() as conn:
        return _found(await read_component(conn, call.path("external_id")), "component")


async def delete_contact(call: Plain) -> Reply:
    """Erase: name and addresses go, what happened stays, counted under nobody's name."""
    ctx, name = call.ctx, call.path("external_id")

    async def work(conn: Connection) -> None:
        now = ctx.now()
        number = await conn.fetchval(CONTACT_NUMBER_SQL, name)
        if not await erase_contact(conn, name, now):
            raise not_found("contact")
        thing = f"contact:{number}"
        await note(conn, at=now, actor=call.actor, action="contact.erase", thing=thing)

    await in_transaction(ctx.pool, work, rng=ctx.rng, wait_s=POOL_WAIT_S)
    return Reply(Stored(result="erased"))


async def _put(
    ctx: Context,
    write: Callable[[Connection], Awaitable[Outcome]],
    *,
    kind: str,
    name: str,
    actor: str,
) -> Reply:
    async def work(conn: Connection) -> Outcome:
        outcome = await write(conn)
        if not outcome.problems and not outcome.unchanged:
            # A contact's own id may tell who it is; the number does not.
            number = await conn.fetchval(CONTACT_NUMBER_SQL, name) if kind == "contact" else name
            thing = f"{kind}:{number}"
            await note(conn, at=ctx.now(), actor=actor, action=f"{kind}.put", thing=thing)
        return outcome

    outcome = await in_transaction(ctx.pool, work, rng=ctx.rng, wait_s=POOL_WAIT_S)
    if outcome.problems:
        problems = [
            FieldProblem(f"/{item.field.replace('.', '/')}", "refused", item.reason)
            for item in outcome.problems
        ]
        raise WebRefusedError("invalid-request", problems=problems)
    if outcome.created:
        return Reply(Stored(result="created"), 201)
    return Reply(Stored(result="updated" if outcome.updated else "unchanged"))


def _found(thing: BaseModel | None, what: str) -> Reply:
    if thing is None:
        raise not_found(what)
    return Reply(thing)
