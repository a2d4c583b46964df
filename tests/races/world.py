"""One incident for a state machine, and everything that can be done to it."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from channels.model import Accepted, ChannelKind, Deferred, Fact, Reason, Receipt, Unclear
from dispatcher.clocks.reconcile import reconcile
from dispatcher.clocks.sweep import sweep
from dispatcher.db import in_transaction
from dispatcher.ids import DeliveryKey
from dispatcher.rules.problem import RefusedError
from dispatcher.rules.states import (
    Purpose,
    SliceState,
    bit,
)
from dispatcher.sandbox.faults import FAULTS
from dispatcher.stages import control, release, send, track
from dispatcher.stages.accept import AcceptedUpdate
from dispatcher.stages.send.answers import Answers, End, Page
from dispatcher.stages.send.build import batch_message, build, single_message
from dispatcher.stages.send.claim import Claim, claim
from dispatcher.stages.send.intent import commit_intent
from dispatcher.stages.send.pages import write
from segments.model import Channel as AddressChannel
from segments.model import SuppressionReason
from segments.suppressions import suppress_hashes
from tests.chaos.people import by_mail, by_text
from tests.flow.story import MovableClock, apply_receipts, plan_out, post, seed, update
from tests.races.laws import Laws
from tests.races.moments import end_lease, open_transaction

MAILS, TEXTS = 3, 2
WINDOW = timedelta(seconds=2)
# Pauses, quiet times and back-offs are all shorter than this.
LONG = timedelta(minutes=20)

EMPTY_SQL = """
truncate incident, incident_update, rendering, dispatch, slice, delivery, receipt, receipt_batch,
         account_update, banner_event, dispatch_report, suppression, pgqueuer cascade
"""
FRESH_SENDERS_SQL = (
    "update sender set paused_until = null, paused_why = '', doubts = 0, trips = 0, retry_free = 0"
)
FRESH_BUCKETS_SQL = "update bucket set next_free = 0, cells = '{}', cell_no = 0"
SLICES_SQL = "select id, channel from slice where state = $1 order by id"
UNSETTLED_SQL = """
select (select count(*) from slice where state in (0, 1, 2, 3, 5))
     + (select count(*) from receipt_batch)
"""
ENDPOINTS_SQL = """
select e.id, e.channel, a.hash from endpoint e join address a on a.id = e.address_id
where e.channel in (1, 2) order by e.id
"""


@dataclass(slots=True, kw_only=True)
class World(Laws):
    """A small product in this process, and a memory of what the outside world did and was told."""

    clock: MovableClock
    zombies: list[tuple[Claim, list[int]]] = field(default_factory=list)
    number: Callable[[], int] = field(default_factory=lambda: itertools.count(1).__next__)

    async def begin(self) -> None:
        """Forget what was; the people stay."""
        await self.ctx.pool.execute(EMPTY_SQL)
        await self.ctx.pool.execute(FRESH_SENDERS_SQL)
        await self.ctx.pool.execute(FRESH_BUCKETS_SQL)
        self.sandbox.ledger.reset()
        self.sandbox.faults.clear()
        self.ctx.leases.clear()
        if not await self.ctx.pool.fetchval("select exists (select from contact)"):
            people = [by_mail(number) for number in range(MAILS)]
            await seed(self.ctx, people + [by_text(number) for number in range(TEXTS)])

    # ── what upstream, operators and people do ───────────────────────────────────────────────

    async def announce(self, severity: str, *, over: bool) -> None:
        """One more update of the incident, planned."""
        changes: dict[str, Any] = {"incident": {"severity": severity}}
        changes["status"] = "resolved" if over else "investigating"
        facts: dict[str, Any] = {"impact": f"Report number {self.number()} about checkout."}
        changes["facts"] = facts | ({"next_update_by": None} if over else {})
        accepted = await post(self.ctx, update(self.ctx, **changes))
        await plan_out(self.ctx, accepted)
        self.updates.append(accepted)
        if over:
            self.ended.add(accepted.update_id)

    async def order(self, what: str, accepted: AcceptedUpdate) -> None:
        """Cancel, pause or resume a dispatch; what is over refuses."""
        assert accepted.dispatch_id is not None
        now = self.ctx.now()
        try:
            async with open_transaction(self.ctx) as conn:
                match what:
                    case "cancel":
                        await control.cancel(conn, accepted.dispatch_id, now=now)
                    case "pause":
                        await control.pause(conn, accepted.dispatch_id, now=now)
                    case _:
                        await control.resume(conn, accepted.dispatch_id)
        except RefusedError:
            pass

    async def opt_out(self, place: int) -> None:
        """One person wants nothing more on one channel."""
        found = await self.ctx.pool.fetch(ENDPOINTS_SQL)
        chosen = found[place % len(found)]
        stop = (
            AddressChannel(chosen["channel"]),
            chosen["hash"],
            SuppressionReason.OPTED_OUT,
            "inbound",
            self.ctx.now(),
        )
        async with self.ctx.pool.acquire() as conn:
            await suppress_hashes(conn, [stop])

    # ── what workers do ──────────────────────────────────────────────────────────────────────

    async def release(self) -> None:
        for row in await self.ctx.pool.fetch("select id from sender order by id"):
            await release.run(self.ctx, row["id"])

    async def slices(self, state: SliceState) -> list[int]:
        return [row["id"] for row in await self.ctx.pool.fetch(SLICES_SQL, state)]

    async def send(self, place: int, fault: dict[str, Any] | None) -> None:
        """Send one released slice to providers that may misbehave once."""
        released = await self.slices(SliceState.RELEASED)
        if not released:
            return
        self.sandbox.faults.clear()
        if fault is not None:
            both = [{"provider": name, "times": 1, **fault} for name in ("sendgrid", "twilio")]
            for switch in FAULTS.validate_python(both):
                self.sandbox.faults.add(switch)
        await send.run(self.ctx, released[place % len(released)])
        self.sandbox.faults.clear()

    async def die(self, place: int, left: int | None) -> None:
        """A worker dies with a slice it has claimed, or (not None) when the first `left` were sent."""
        released = await self.slices(SliceState.RELEASED)
        if not released:
            return
        held = await claim(self.ctx, released[place % len(released)])
        if held is None:
            return
        if left is None:
            await end_lease(self.ctx, held)
            return
        over = held.slice["update_id"] in self.ended
        going = await in_transaction(
            self.ctx.pool,
            lambda conn: commit_intent(conn, self.ctx, held, ended=over),
            rng=self.ctx.rng,
        )
        if going is None:
            return
        sent = sorted(going)[:left]
        await self._leave(held, sent)
        self.zombies.append((held, sent))
        await end_lease(self.ctx, held)

    async def _leave(self, held: Claim, endpoints: Sequence[int]) -> None:
        if not endpoints:
            return
        row = held.slice
        request = f"{held.id}-{held.epoch}"
        async with self.ctx.pool.acquire() as conn:
            parcel = await build(conn, self.ctx, row)
        channel = self.ctx.channels[ChannelKind.from_code(row["channel"])]
        if channel.batch_limit > 1:
            await channel.send(batch_message(self.ctx, row, request, parcel, endpoints))
            return
        for endpoint in endpoints:
            await channel.send(single_message(self.ctx, row, request, parcel, endpoint))

    async def wake(self, place: int, answer: str) -> None:
        """A worker given up long ago wakes and writes what it thinks it knows."""
        if not self.zombies:
            return
        held, sent = self.zombies.pop(place % len(self.zombies))
        rest = [endpoint for endpoint in held.slice["endpoint_ids"] if endpoint not in sent]
        other = Deferred(Reason.THROTTLED, "429") if answer == "deferred" else Unclear("reset")
        results = [*((one, Accepted("late")) for one in sent), *((one, other) for one in rest)]
        page = Page(held, Answers.sort(results), End())
        async with open_transaction(self.ctx) as conn:
            await write(conn, self.ctx, [page], now=self.ctx.now())

    async def sweep(self) -> None:
        await sweep(self.ctx)

    async def reconcile(self) -> None:
        await reconcile(self.ctx)

    # ── what providers tell ──────────────────────────────────────────────────────────────────

    async def hear(self, place: int, fact: Fact, copies: int) -> None:
        """A receipt, perhaps several times over, about something a provider did take."""
        rows = list(self.sandbox.ledger.rows())
        if not rows:
            return
        key = self.ctx.signer.read_delivery_key(rows[place % len(rows)]["key"])
        receipt = Receipt(key=self.ctx.signer.delivery_key(key), fact=fact, at=self.ctx.now())
        provider = ChannelKind.from_code(key.channel).value
        async with self.ctx.pool.acquire() as conn:
            await track.store(conn, self.ctx, provider, [receipt] * copies, now=self.ctx.now())
        about = self.told[(key.update, key.channel, key.endpoint)]
        about[key.attempt] = about.get(key.attempt, 0) | bit(fact)

    async def hear_of_nobody(self, fact: Fact) -> None:
        """A receipt with a key of ours for a delivery that does not exist."""
        if not self.updates:
            return
        nobody = DeliveryKey(self.updates[0].update_id, 1, 10**9, Purpose.NOTICE, 1)
        receipt = Receipt(key=self.ctx.signer.delivery_key(nobody), fact=fact, at=self.ctx.now())
        async with self.ctx.pool.acquire() as conn:
            await track.store(conn, self.ctx, "email", [receipt], now=self.ctx.now())

    async def apply(self) -> None:
        await apply_receipts(self.ctx)

    async def come_to_an_end(self) -> None:
        """With everybody well again, all is settled in bounded time, and the ledger agrees."""
        self.sandbox.faults.clear()
        for accepted in self.updates:
            await self.order("resume", accepted)
        for _ in range(25):
            self.clock.move(WINDOW)
            await self.sweep()
            await self.apply()
            await self.reconcile()
            await self.release()
            for slice_id in await self.slices(SliceState.RELEASED):
                await send.run(self.ctx, slice_id)
            await self.check()
            if not await self.ctx.pool.fetchval(UNSETTLED_SQL):
                break
            self.clock.move(timedelta(minutes=2))
        left = await self.ctx.pool.fetch(
            "select id, state, reclaims, detail, channel, not_before from slice where state <> 4"
        )
        assert not left, [dict(row) for row in left]
        await self.ledger_agrees()
