"""Accounts, contacts and components as lists, in the order in which they were made."""

from typing import Annotated, Any, Final

from pydantic import Field

from channels.model import ChannelKind
from dispatcher.audit import note
from dispatcher.db import Connection, in_transaction
from dispatcher.rules.canary import CANARY
from dispatcher.rules.problem import not_found
from dispatcher.web.answers import Reply
from dispatcher.web.customer_models import (
    AccountLine,
    ComponentLine,
    ContactLine,
    Stored,
)
from dispatcher.web.lists import Page, PageQuery, page_reply, position
from dispatcher.web.reading import NoQuery
from dispatcher.web.routing import POOL_WAIT_S, Call, Plain, Route
from dispatcher.web.rows import get
from dispatcher.web.scopes import Scope

_ACCOUNT: Final = (
    "select id, external_id, name, segment, region, manager_name, removed_at from account"
)
ACCOUNTS_SQL: Final = f"""{_ACCOUNT}
where id > $1 and external_id <> '{CANARY}' order by id limit $2
"""
ACCOUNTS_OF_SQL: Final = f"""{_ACCOUNT}
where segment = $3 and removed_at is null and id > $1 and external_id <> '{CANARY}'
order by id limit $2
"""
_CONTACT: Final = """
select c.id, c.external_id, a.external_id as account, v.name, c.roles, c.removed_at,
       array(select ce.channel from contact_endpoint ce
             where ce.contact_id = c.id and ce.removed_at is null order by 1) as channels
from contact c join account a on a.id = c.account_id join contact_version v on v.id = c.version_id
"""
CONTACTS_SQL: Final = f"""{_CONTACT}
where c.id > $1 and a.external_id <> '{CANARY}' and c.external_id is not null
order by c.id limit $2
"""
CONTACTS_OF_SQL: Final = f"""{_CONTACT}
where a.external_id = $3 and c.id > $1 and c.external_id is not null order by c.id limit $2
"""
COMPONENTS_SQL: Final = """
select id, external_id, name, public_name, removed_at from component where id > $1 order by id limit $2
"""
REMOVE_SQL: Final = f"""
update account set removed_at = $2, updated_at = $2
where external_id = $1 and external_id <> '{CANARY}' and removed_at is null returning id
"""


class AccountsQuery(PageQuery):
    """`segment`: only accounts of this one that are not removed."""

    segment: Annotated[str, Field(max_length=40)] | None = None


class ContactsQuery(PageQuery):
    """`account`: only the people of this one, by your id of it."""

    account: Annotated[str, Field(max_length=200)] | None = None


class AccountLines(Page[AccountLine]):
    """Accounts, in the order in which they were made."""


class ContactLines(Page[ContactLine]):
    """Contacts, in the order in which they were made."""


class ComponentLines(Page[ComponentLine]):
    """Components, in the order in which they were made."""


async def list_accounts(call: Call[None, AccountsQuery]) -> Reply:
    """Removed ones too; GET one for all that is known about it."""
    (after,) = position(call.query, (int,)) or (0,)
    read_pii = call.caller.may(Scope.RECIPIENTS_READ_PII)
    page: tuple[Any, ...] = (after, call.query.limit + 1)
    async with call.connection() as conn:
        if call.query.segment is None:
            rows = await conn.fetch(ACCOUNTS_SQL, *page)
        else:
            rows = await conn.fetch(ACCOUNTS_OF_SQL, *page, call.query.segment)
    views = [
        AccountLine(
            external_id=row["external_id"],
            name=row["name"],
            segment=row["segment"],
            region=row["region"],
            manager_name=(row["manager_name"] or None) if read_pii else None,
            removed_at=row["removed_at"],
        )
        for row in rows
    ]
    return page_reply(call, views, [(row["id"],) for row in rows], AccountLines)


async def list_contacts(call: Call[None, ContactsQuery]) -> Reply:
    """Who they are and on which channels; GET one for addresses and wishes."""
    (after,) = position(call.query, (int,)) or (0,)
    read_pii = call.caller.may(Scope.RECIPIENTS_READ_PII)
    page: tuple[Any, ...] = (after, call.query.limit + 1)
    async with call.connection() as conn:
        if call.query.account is None:
            rows = await conn.fetch(CONTACTS_SQL, *page)
        else:
            rows = await conn.fetch(CONTACTS_OF_SQL, *page, call.query.account)
    views = [
        ContactLine(
            external_id=row["external_id"],
            account=row["account"],
            name=row["name"] if read_pii else None,
            roles=row["roles"],
            channels=[ChannelKind.from_code(code) for code in row["channels"]],
            removed_at=row["removed_at"],
        )
        for row in rows
    ]
    return page_reply(call, views, [(row["id"],) for row in rows], ContactLines)


async def list_components(call: Call[None, PageQuery]) -> Reply:
    """Parts of the product; GET one for how many accounts use it."""
    (after,) = position(call.query, (int,)) or (0,)
    async with call.connection() as conn:
        rows = await conn.fetch(COMPONENTS_SQL, after, call.query.limit + 1)
    views = [
        ComponentLine(
            external_id=row["external_id"],
            name=row["name"],
            public_name=row["public_name"],
            removed_at=row["removed_at"],
        )
        for row in rows
    ]
    return page_reply(call, views, [(row["id"],) for row in rows], ComponentLines)


async def remove_account(call: Plain) -> Reply:
    """Tell its people of nothing from now on. What happened stays; putting it again brings it back."""
    ctx, name = call.ctx, call.path("external_id")

    async def work(conn: Connection) -> None:
        now = ctx.now()
        if await conn.fetchval(REMOVE_SQL, name, now) is None:
            raise not_found("account")
        thing = f"account:{name}"
        await note(conn, at=now, actor=call.actor, action="account.remove", thing=thing)

    await in_transaction(ctx.pool, work, rng=ctx.rng, wait_s=POOL_WAIT_S)
    return Reply(Stored(result="removed"))


CUSTOMER_LIST_ROUTES: Final[tuple[Route[Any, Any], ...]] = (
    get(
        "/v1/accounts",
        "list_accounts",
        Scope.SEGMENTS_WRITE,
        list_accounts,
        AccountsQuery,
        AccountLines,
    ),
    Route(
        method="DELETE",
        path="/v1/accounts/{external_id}",
        operation="remove_account",
        guard=Scope.SEGMENTS_WRITE,
        handler=remove_account,
        query=NoQuery,
        replies={200: Stored},
    ),
    get(
        "/v1/contacts",
        "list_contacts",
        Scope.SEGMENTS_WRITE,
        list_contacts,
        ContactsQuery,
        ContactLines,
    ),
    get(
        "/v1/components",
        "list_components",
        Scope.SEGMENTS_WRITE,
        list_components,
        PageQuery,
        ComponentLines,
    ),
)
