"""Send one released slice: e-mail in one request, texts and posts one by one at their reserved moments."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import asyncpg
import structlog

from channels.model import (
    Accepted,
    Channel,
    ChannelKind,
    Deferred,
    Message,
    Reason,
    SendResult,
    Unclear,
)
from dispatcher.context import Context, Lease
from dispatcher.db import Connection, in_transaction
from dispatcher.failpoints import reach
from dispatcher.jobs import Event, publish
from dispatcher.rules.punctuality import head_start
from dispatcher.stages.send.build import (
    Parcel,
    batch_message,
    fill_in,
    read_words,
    single_message,
)
from dispatcher.stages.send.claim import Claim, claim
from dispatcher.stages.send.intent import commit_intent
from dispatcher.stages.send.promise import note_sent
from dispatcher.stages.send.record import Answers, finish, record, record_all_taken

PUBLISHES = ("slices.waiting",)
log = structlog.get_logger(__name__)

# Answers of texts are written this often: what is not yet written is what a crash leaves in doubt.
RECORD_EVERY_S = 0.1
# Results of calls already made are kept this long while the database is away.
KEEP_RESULTS_S = 60.0
LEASE_OVER = Deferred(Reason.NOT_TRIED, "the lease had run out", timedelta(0))


async def run(ctx: Context, slice_id: int) -> None:
    """Claim, intend, send, record. Does nothing when the slice is not (or no longer) released."""
    held = await claim(ctx, slice_id)
    if held is None:
        return
    await reach("send.after_claim")
    # Who lacks a channel's credentials has no consumer of its slices either.
    channel = ctx.channels[ChannelKind.from_code(held.slice["channel"])]
    async with ctx.pool.acquire() as conn:
        words = await read_words(conn, ctx, held.slice)
    # Half of the head start is for the intent itself, so that the messages can leave on time.
    start = held.slice["start_at"]
    await _wait_until(ctx, start - head_start(held.epoch - 1) / 2)
    begun = ctx.clock.monotonic()
    people = await in_transaction(
        ctx.pool,
        lambda conn: commit_intent(conn, ctx, held, ended=words.ended),
        rng=ctx.rng,
    )
    if people is None:
        return
    lease = Lease(held.epoch, begun + ctx.settings.worker.lease_s)
    ctx.leases[held.id] = lease
    try:
        await reach("send.after_intent")
        parcel = await fill_in(ctx, held.slice, words, people.values())
        await _wait_until(ctx, start)
        sending = _Sending(ctx, held, lease, channel, parcel)
        await sending.send(list(people))
    finally:
        ctx.leases.pop(held.id, None)


async def _wait_until(ctx: Context, moment: datetime) -> None:
    await ctx.clock.sleep((moment - ctx.now()).total_seconds())


@dataclass(slots=True)
class _Sending:
    """One slice in flight: calls the provider and records answers until every call has one."""

    ctx: Context
    held: Claim
    lease: Lease
    channel: Channel
    parcel: Parcel
    reference: str = ""
    detail: str = ""
    buffer: list[tuple[int, SendResult]] = field(default_factory=list)
    stopped: Deferred | None = None

    @property
    def _request(self) -> str:
        return f"{self.held.id}-{self.held.epoch}"

    async def send(self, endpoints: Sequence[int]) -> None:
        """Send to all and end the slice."""
        if not endpoints:
            pass
        elif self.channel.batch_limit > 1:
            message = batch_message(
                self.ctx, self.held.slice, self._request, self.parcel, endpoints
            )
            await self._turn(len(endpoints))
            answers = await self._ask(message)
            self.buffer += zip(endpoints, answers, strict=True)
        else:
            await self._send_one_by_one(endpoints)
        await reach("send.before_record")
        await self._flush(last=True)

    async def _turn(self, messages: int) -> None:
        row = self.held.slice
        span = messages * row["spacing_s"]
        await self.ctx.departures.turn(self.ctx.clock, row["sender_id"], span)

    async def _send_one_by_one(self, endpoints: Sequence[int]) -> None:
        done = asyncio.Event()
        flusher = asyncio.create_task(self._flush_until(done))
        try:
            async with asyncio.TaskGroup() as group:
                for endpoint in endpoints:
                    if self.stopped is None:
                        await self._turn(1)
                    if self.stopped is not None:
                        self.buffer.append((endpoint, self.stopped))
                        continue
                    group.create_task(self._send_one(endpoint))
        finally:
            done.set()
            await flusher

    async def _send_one(self, endpoint: int) -> None:
        message = single_message(self.ctx, self.held.slice, self._request, self.parcel, endpoint)
        (answer,) = await self._ask(message)
        await reach("send.after_one")
        if isinstance(answer, Deferred) and answer.sender_wide:
            self.stopped = answer
        self.buffer.append((endpoint, answer))

    async def _ask(self, message: Message) -> Sequence[SendResult]:
        """Send, if the slice is still ours; who slept past the lease must not repeat another's work."""
        if self.ctx.clock.monotonic() >= self.lease.until:
            log.warning("lease_over_before_sending", request=message.request_id)
            return [LEASE_OVER] * len(message.recipients)
        return await _ask(self.channel, message)

    async def _flush_until(self, done: asyncio.Event) -> None:
        while not done.is_set():
            await asyncio.sleep(RECORD_EVERY_S)
            if self.buffer:
                await self._flush(last=False)

    def _took_all(self, answers: Answers) -> bool:
        """Whether one answer accepted everybody of the slice."""
        everybody = len(answers.accepted) == len(self.parcel.recipients) > 0
        return everybody and self.channel.batch_limit > 1

    async def _flush(self, *, last: bool) -> None:
        batch, self.buffer = self.buffer, []
        answers = Answers.sort(batch)
        if answers.unclear:
            self.detail = next(iter(answers.unclear.values()))
        if batch and self.channel.batch_limit > 1:
            first = batch[0][1]
            self.reference = first.provider_ref or "" if isinstance(first, Accepted) else ""

        async def write(conn: Connection) -> None:
            now, reference = self.ctx.now(), self.reference
            if last and self._took_all(answers):
                await record_all_taken(conn, self.held, answers, reference=reference, now=now)
            else:
                await record(conn, self.ctx, self.held, answers)
                if last:
                    await finish(conn, self.held, detail=self.detail, reference=reference, now=now)
            if last:
                sender, lane = self.held.slice["sender_id"], self.held.slice["lane"]
                await publish(conn, [Event("slices.waiting", sender, 10 - lane)])

        await _patiently(lambda: in_transaction(self.ctx.pool, write, rng=self.ctx.rng), self.ctx)
        note_sent(self.parcel.words.promise, self.held.slice, len(answers.accepted), self.ctx.now())


async def _ask(channel: Channel, message: Message) -> Sequence[SendResult]:
    try:
        answers = await channel.send(message)
    except (
        Exception
    ):  # an adapter promises not to raise: this is our bug, and the message may be out
        log.exception("adapter_raised", channel=channel.kind, request=message.request_id)
        return [Unclear("the adapter failed")] * len(message.recipients)
    if len(answers) != len(message.recipients):
        log.error("adapter_miscounted", channel=channel.kind, request=message.request_id)
        return [Unclear("the adapter lost count")] * len(message.recipients)
    return answers


# Gone, restarting, full, or in conflict with others for longer than a transaction tries again.
_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
)


async def _patiently(work: Callable[[], Awaitable[None]], ctx: Context) -> None:
    """Repeat `work` while the database is away; after a minute the lease ends and reconcile judges."""
    deadline = ctx.clock.monotonic() + KEEP_RESULTS_S
    pause = 0.2
    while True:
        try:
            await work()
        except _AWAY:
            if ctx.clock.monotonic() > deadline:
                log.exception("results_lost")
                raise
            await ctx.clock.sleep(pause * ctx.rng.uniform(0.5, 1.5))
            pause = min(pause * 2, 5.0)
        else:
            return
