"""Words for stories: seed an audience, post an update, run stages by hand, look at what came of it."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from dispatcher.context import Context
from dispatcher.rules.states import DeliveryState, SliceState, shown
from dispatcher.stages import approve, compose, plan, release, send, track
from dispatcher.stages.accept import AcceptedUpdate, UpdateIn, accept
from dispatcher.stages.control import counts
from segments.records import AccountIn, ComponentIn, ContactIn
from segments.store import upsert_accounts, upsert_components, upsert_contacts


class MovableClock:
    """Business time under the test's hand; intervals and sleeps are real."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.05))

    def move(self, span: timedelta) -> None:
        self._now += span


async def eventually(
    check: Callable[[], Awaitable[bool]], *, within: float = 20.0, what: str = "it"
) -> None:
    """Poll until `check` holds; fails with the name of what did not happen."""
    deadline = time.monotonic() + within
    while not await check():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {within} s")
        await asyncio.sleep(0.05)


def contact(number: int, account: str, **more: Any) -> ContactIn:
    """A person with mail, phone with consent, and app user."""
    fields: dict[str, Any] = {
        "external_id": f"c{number}",
        "account": account,
        "name": f"Person {number}",
        "email": f"person{number}@example.com",
        "phone": f"+1212555{100 + number % 90:04d}",
        "app_user": f"user-{number}",
        "sms_consent": {"granted": True, "source": "contract", "wording": "texts about incidents"},
    }
    return ContactIn.model_validate({**fields, **more})


async def seed(
    ctx: Context, contacts: Sequence[ContactIn], *, tiers: dict[str, str] | None = None
) -> None:
    """Component `checkout`, the accounts named by the contacts (tier smb unless given), the contacts."""
    now = ctx.now()
    names = dict.fromkeys(person.account for person in contacts)
    async with ctx.pool.acquire() as conn:
        await upsert_components(
            conn,
            [(0, ComponentIn(external_id="checkout", name="checkout-api", public_name="Checkout"))],
            now=now,
        )
        accounts = [
            AccountIn.model_validate(
                {
                    "external_id": name,
                    "name": f"Account {name}",
                    "attributes": {"tier": (tiers or {}).get(name, "smb")},
                    "usage": [{"component": "checkout"}],
                }
            )
            for name in names
        ]
        outcome = await upsert_accounts(
            conn, list(enumerate(accounts)), rules=ctx.segment_rules, now=now
        )
        assert not outcome.problems, outcome.problems
        outcome = await upsert_contacts(
            conn, list(enumerate(contacts)), hash_key=ctx.address_key, now=now
        )
        assert not outcome.problems, outcome.problems


def update(ctx: Context, **more: Any) -> UpdateIn:
    """A P1 acknowledgement of INC-42 on `checkout`; anything may be overridden."""
    body: dict[str, Any] = {
        "source": "monitoring",
        "incident": {
            "external_id": "INC-42",
            "severity": "P1",
            "visibility": "customers",
            "component_ids": ["checkout"],
        },
        "status": "investigating",
        "facts": {
            "title": "Some customers cannot check out",
            "impact": "About one in five card payments fails at checkout.",
            "scope": {
                "who": "Customers who pay by card",
                "regions": [],
                "features": ["Card payments"],
            },
            "what_we_do": "We are looking into it together with our payment team.",
            "next_update_by": (ctx.now() + timedelta(minutes=60)).isoformat(),
        },
    }
    for key, value in more.items():
        body[key] = {**body[key], **value} if isinstance(body.get(key), dict) else value
    return UpdateIn.model_validate(body)


async def post(ctx: Context, body: UpdateIn) -> AcceptedUpdate:
    """Accept in a transaction of its own."""
    async with ctx.pool.acquire() as conn, conn.transaction():
        return await accept(conn, ctx, body, actor="test", now=ctx.now())


async def plan_out(ctx: Context, accepted: AcceptedUpdate) -> None:
    """compose → approve → plan, by hand."""
    await compose.run(ctx, accepted.update_id)
    await approve.run(ctx, accepted.update_id)
    await plan.run(ctx, accepted.update_id)


async def release_all(ctx: Context) -> list[int]:
    """One turn for every sender; the ids of the slices that are released now."""
    for row in await ctx.pool.fetch("select id from sender order by id"):
        await release.run(ctx, row["id"])
    rows = await ctx.pool.fetch(
        "select id from slice where state = $1 order by id", SliceState.RELEASED
    )
    return [row["id"] for row in rows]


async def send_all(ctx: Context) -> None:
    """Release and send until nothing waits that may go now."""
    while slices := await release_all(ctx):
        for slice_id in slices:
            await send.run(ctx, slice_id)


async def apply_receipts(ctx: Context) -> None:
    """Merge whatever receipts are stored."""
    await track.run(ctx, 0)


async def statuses(ctx: Context, dispatch_id: int | None) -> dict[str, int]:
    """Deliveries by status word, as the slices count them."""
    assert dispatch_id is not None
    async with ctx.pool.acquire() as conn:
        return await counts(conn, dispatch_id)


async def recounted(ctx: Context, update_id: int) -> Counter[str]:
    """Deliveries by status word, counted from the rows themselves."""
    rows = await ctx.pool.fetch(
        """select d.state, s.state as place, d.attempt, d.evidence from delivery d
           join slice s on s.id = d.slice_id where d.update_id = $1""",
        update_id,
    )
    return Counter(
        shown(
            DeliveryState(row["state"]), SliceState(row["place"]), row["attempt"], row["evidence"]
        ).word
        for row in rows
    )
