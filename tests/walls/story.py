"""Three customers, two account managers, and what each of the customers was told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dispatcher.context import Context
from dispatcher.intake.model import Kind
from dispatcher.rules.roles import Role
from dispatcher.stages.report import ask_for_export, run, run_export
from dispatcher.web.ids import DISPATCH, EXPORT, INCIDENT, UPDATE
from dispatcher.web.keys import create_key
from dispatcher.web.people.models import UserIn
from dispatcher.web.people.users import create_user
from dispatcher.web.scopes import Scope
from segments.records import AccountIn, ComponentIn, ContactIn
from segments.store import upsert_accounts, upsert_components, upsert_contacts
from tests.flow.story import apply_receipts, eventually, plan_out, post, send_all, update
from tests.intake.senders import Sender, source
from tests.web.client import Api, key_with

INBOX = "duty@shared-inbox.example"
"""North and south both read it."""


@dataclass(frozen=True)
class Customer:
    """One account; every string of its own is in `strings`."""

    id: str
    name: str
    people: Mapping[str, tuple[str, str, str]]
    manager: str

    @property
    def strings(self) -> set[str]:
        """What nobody else may read: its ids, names, addresses and phones."""
        found = {self.id, self.name}
        for external_id, person in self.people.items():
            found |= {external_id, *person[0].split(), *person[1:]}
        return found - {INBOX}

    @property
    def personal(self) -> set[str]:
        """What only who may read personal data may read."""
        return {
            part for person in self.people.values() for part in (*person[0].split(), *person[1:])
        }


NORTH = Customer(
    "acct-northwind",
    "Northwind Traders",
    {
        "nw-person-1": ("Noreen Nordqvist", "noreen@northwind.example", "+12125550111"),
        "nw-person-2": ("Nils Nilbergsson", "nils@northwind.example", "+12125550112"),
        "nw-person-3": ("Nadja Nachtigall", INBOX, "+12125550113"),
    },
    "mia@example.com",
)
SOUTH = Customer(
    "acct-southsea",
    "Southsea Shipping",
    {
        "ss-person-1": ("Sigrid Solberger", "sigrid@southsea.example", "+12125550121"),
        "ss-person-2": ("Sandro Salvatini", INBOX, "+12125550122"),
    },
    "tom@example.com",
)
EAST = Customer(
    "acct-eastgate",
    "Eastgate Energy",
    {"eg-person-1": ("Edwina Eklundsen", "edwina@eastgate.example", "+12125550131")},
    "",
)
HOUSE = Customer(
    "acct-our-house",
    "Operations Watchroom",
    {"oh-person-1": ("Olga Oberhauser", "olga@watchroom.example", "+12125550141")},
    "",
)
"""Ourselves, told of everything."""
CUSTOMERS = (NORTH, SOUTH, EAST, HOUSE)
HIDDEN = "A drill that nobody outside may hear of"
DRAFTED = "DRAFTED-1"
"""An incident that nobody was told of yet."""
ABOUT_SOUTH = "Southward cables are cut"
UNPROVED_SQL = """
select count(*) from delivery where update_id = $1 and channel in (1, 2) and address_id is not null
  and evidence = 0
"""
NOTE = "Keep an eye on the renewal talks"


@dataclass(frozen=True)
class Told:
    """What one update became, by public ids."""

    incident: str
    update: str
    dispatch: str | None

    @property
    def ids(self) -> set[str]:
        """All of them."""
        return {self.incident, self.update, *([self.dispatch] if self.dispatch else [])}


@dataclass(frozen=True)
class World:
    """The story as told, and callers of each kind."""

    ctx: Context
    everybody: Told
    only_south: Told
    internal: Told
    draft: Told
    exports: Mapping[str, str]
    sender: Sender
    mia: Api
    tom: Api
    admin: Api
    viewer: Api
    all_but_personal: Api

    def foreign(self, *own: Customer) -> set[str]:
        """Whatever must not be read by who has these accounts."""
        found = {HIDDEN, NOTE, DRAFTED, *self.internal.ids, *self.draft.ids}
        for customer in (one for one in CUSTOMERS if one not in own):
            found |= customer.strings | {self.exports[customer.id]}
        if SOUTH not in own:
            found |= {ABOUT_SOUTH, *self.only_south.ids}
        return found | {self.exports[""]}


async def tell(ctx: Context, anonymous: Api) -> World:
    """An update to all three, one to south alone, one that stays with us, and one that is a draft."""
    await _customers(ctx)
    everybody = await _told(ctx, update(ctx, internal={"cause": NOTE}, note=NOTE))
    only_south = await _told(ctx, _apart("SOUTH-1", "accounts", ABOUT_SOUTH, [SOUTH.id]))
    internal = await _told(ctx, _apart("HIDDEN-1", "internal", HIDDEN))
    draft = await _told(ctx, {**_apart(DRAFTED, "customers", "Not told yet"), "mode": "draft"})
    exports = {
        "": await _export(ctx, everybody, None),
        **{one.id: await _export(ctx, everybody, one.id) for one in CUSTOMERS},
    }
    mia = await _person(ctx, Role.ACCOUNT_MANAGER, "mia@example.com")
    tom = await _person(ctx, Role.ACCOUNT_MANAGER, "tim@example.com", SOUTH.id)
    viewer = await _person(ctx, Role.VIEWER, "vera@example.com")
    admin = anonymous.bearing(await key_with(ctx, Scope.ADMIN))
    all_but = set(Scope) - {Scope.ADMIN, Scope.RECIPIENTS_READ_PII}
    return World(
        ctx,
        everybody,
        only_south,
        internal,
        draft,
        exports,
        await source(admin, Kind.PAGERDUTY),
        mia=anonymous.bearing(mia),
        tom=anonymous.bearing(tom),
        admin=admin,
        viewer=anonymous.bearing(viewer),
        all_but_personal=anonymous.bearing(await key_with(ctx, *all_but)),
    )


def _apart(external_id: str, visibility: str, title: str, accounts: Sequence[str] = ()) -> Any:
    incident = {"external_id": external_id, "visibility": visibility}
    audience = {"audience": {"account_ids": list(accounts)}} if accounts else {}
    return {"incident": incident, "facts": {"title": title}, **audience}


async def _told(ctx: Context, body: Any) -> Told:
    accepted = await post(ctx, update(ctx, **body) if isinstance(body, dict) else body)
    public = ctx.signer.public_id
    if accepted.dispatch_id:
        await plan_out(ctx, accepted)
        await send_all(ctx)
        await eventually(lambda: _all_proved(ctx, accepted.update_id), what="every receipt")
        await run(ctx, accepted.dispatch_id)
    return Told(
        public(INCIDENT, accepted.incident_id),
        public(UPDATE, accepted.update_id),
        public(DISPATCH, accepted.dispatch_id) if accepted.dispatch_id else None,
    )


async def _all_proved(ctx: Context, update_id: int) -> bool:
    await apply_receipts(ctx)
    return not await ctx.pool.fetchval(UNPROVED_SQL, update_id)


async def _export(ctx: Context, told: Told, account: str | None) -> str:
    assert told.dispatch is not None
    async with ctx.pool.acquire() as conn, conn.transaction():
        number = await ask_for_export(
            conn,
            ctx.signer.read_public_id(DISPATCH, told.dispatch),
            file="csv",
            account=account,
            read_pii=False,
            actor="test",
            now=ctx.now(),
        )
    await run_export(ctx, number)
    return ctx.signer.public_id(EXPORT, number)


async def _person(ctx: Context, role: Role, email: str, *accounts: str) -> str:
    name = email.partition("@")[0].title()
    body = UserIn(email=email, name=name, role=role, account_ids=list(accounts))
    made = await create_user(ctx, body, actor="test")
    number = ctx.signer.read_public_id("usr", made.id)
    async with ctx.pool.acquire() as conn:
        key = await create_key(conn, name="k", scopes=set(Scope), now=ctx.now(), user_id=number)
    return key.text


async def _customers(ctx: Context) -> None:
    now = ctx.now()
    component = ComponentIn(external_id="checkout", name="checkout-api", public_name="Checkout")
    accounts = [
        AccountIn.model_validate(
            {
                "external_id": one.id,
                "name": one.name,
                "manager_email": one.manager,
                "attributes": {"kind": "staff" if one is HOUSE else "customer"},
                "usage": [{"component": "checkout"}],
            }
        )
        for one in CUSTOMERS
    ]
    people = [
        ContactIn.model_validate(
            {
                "external_id": external_id,
                "account": one.id,
                "name": name,
                "email": email,
                "phone": phone,
                "sms_consent": {"granted": True, "source": "contract", "wording": "yes"},
            }
        )
        for one in CUSTOMERS
        for external_id, (name, email, phone) in one.people.items()
    ]
    async with ctx.pool.acquire() as conn:
        await upsert_components(conn, [(0, component)], now=now)
        outcome = await upsert_accounts(
            conn, list(enumerate(accounts)), rules=ctx.segment_rules, now=now
        )
        assert not outcome.problems, outcome.problems
        outcome = await upsert_contacts(
            conn, list(enumerate(people)), hash_key=ctx.address_key, now=now
        )
        assert not outcome.problems, outcome.problems
