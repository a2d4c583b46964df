"""Send one released slice: e-mail in one request, texts and posts one by one at their reserved moments."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

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
from dispatcher.context import Context, Gathering, Lease
from dispatcher.db import in_transaction
from dispatcher.failpoints import reach
from dispatcher.rules.breaker import MOST_ASKED, NOT_ASKED, SPARED, doubts_after, most_doubts
from dispatcher.rules.punctuality import head_start
from dispatcher.stages.send.answers import Answers, End, Page
from dispatcher.stages.send.breaker import on_probation
from dispatcher.stages.send.build import (
    Parcel,
    Words,
    batch_message,
    fill_in,
    read_words,
    single_message,
)
from dispatcher.stages.send.claim import Claim, claim, let_go
from dispatcher.stages.send.intent import People, commit_intent
from dispatcher.stages.send.recorder import Recorder, Sheet, record_request

PUBLISHES = ("slices.waiting",)
log = structlog.get_logger(__name__)

LEASE_OVER = Deferred(Reason.NOT_TRIED, "the lease had run out", timedelta(0))


async def run(ctx: Context, slice_id: int) -> None:
    """Claim, intend, send, record. Does nothing when the slice is not (or no longer) released."""
    asked = ctx.clock.monotonic()
    held = await claim(ctx, slice_id)
    if held is None:
        return
    lease = ctx.leases[held.id] = Lease(held.epoch, asked + ctx.settings.worker.lease_s)
    try:
        await _send(ctx, held, lease)
    finally:
        # Who was frozen for longer than the lease finds another claim of this process there.
        if ctx.leases.get(held.id) is lease:
            del ctx.leases[held.id]


async def _send(ctx: Context, held: Claim, lease: Lease) -> None:
    try:
        intended = await _intend(ctx, held, lease)
    except BaseException as error:
        await let_go(ctx, held, error, until=lease.until)
        raise
    if intended is None:
        return
    words, people, probing = intended
    # Who lacks a channel's credentials has no consumer of its slices either.
    channel = ctx.channels[ChannelKind.from_code(held.slice["channel"])]
    await reach("send.after_intent")
    parcel = await fill_in(ctx, held.slice, words, people.values())
    if parcel.unfit:
        unfit = Page(held, Answers.never_made(parcel.unfit))
        await record_request(ctx, unfit, words.promise, whole=False)
    await _wait_until(ctx, held.slice["start_at"])
    sending = _Sending(ctx, held, lease, channel, parcel, probing=probing)
    await sending.send(list(parcel.recipients))


async def _intend(ctx: Context, held: Claim, lease: Lease) -> tuple[Words, People, bool] | None:
    """What to say and whom to tell, once that is committed; None when nothing is to be sent (now).

    And whether this asks for a sender on probation.
    """
    await reach("send.after_claim")
    async with ctx.pool.acquire() as conn:
        words = await read_words(conn, ctx, held.slice)
        probing = await on_probation(conn, held.slice["sender_id"])
    # Half of the head start is for the intent itself, so that the messages can leave on time.
    start = held.slice["start_at"]
    await _wait_until(ctx, start - head_start(held.epoch - 1) / 2)
    await reach("send.before_intent")
    begun = ctx.clock.monotonic()
    people = await in_transaction(
        ctx.pool,
        lambda conn: commit_intent(conn, ctx, held, ended=words.ended),
        rng=ctx.rng,
    )
    if people is None:
        return None
    lease.until = begun + ctx.settings.worker.lease_s
    return words, people, probing


async def _wait_until(ctx: Context, moment: datetime) -> None:
    await ctx.clock.sleep((moment - ctx.now()).total_seconds())


@dataclass(slots=True)
class _Sending:
    """One slice in flight: calls the provider and hands in answers until every call has one.

    `probing`: until a few have a definite answer, nobody else is asked.
    """

    ctx: Context
    held: Claim
    lease: Lease
    channel: Channel
    parcel: Parcel
    stopped: Deferred | None = None
    doubts: int = 0
    probing: bool = False

    @property
    def _request(self) -> str:
        return f"{self.held.id}-{self.held.epoch}"

    async def send(self, endpoints: Sequence[int]) -> None:
        """Send to all and end the slice."""
        if self.channel.batch_limit > 1:
            await self._send_at_once(endpoints)
        else:
            await self._send_one_by_one(endpoints)

    async def _turn(self, messages: int) -> None:
        row = self.held.slice
        span = messages * row["spacing_s"]
        await self.ctx.departures.turn(self.ctx.clock, row["sender_id"], span)

    async def _send_at_once(self, endpoints: Sequence[int]) -> None:
        answers, end, whole = Answers(), End(), False
        if endpoints:
            row, parcel = self.held.slice, self.parcel
            asked = endpoints[:MOST_ASKED] if self.probing else endpoints
            message = batch_message(self.ctx, row, self._request, parcel, asked)
            await self._turn(len(asked))
            results = await self._ask(message)
            results = [*results, *[SPARED] * (len(endpoints) - len(asked))]
            answers = Answers.sort(zip(endpoints, results, strict=True))
            first, unclear = results[0], next(iter(answers.unclear.values()), "")
            reference = first.provider_ref or "" if isinstance(first, Accepted) else ""
            end, whole = End(unclear, reference), len(answers.accepted) == len(endpoints)
        await reach("send.before_record")
        promise = self.parcel.words.promise
        await record_request(self.ctx, Page(self.held, answers, end), promise, whole=whole)

    async def _send_one_by_one(self, endpoints: Sequence[int]) -> None:
        sheet, recorder = Sheet(self.held, self.parcel.words.promise), Recorder.of(self.ctx)
        room = self.ctx.departures.room[self.held.slice["sender_id"]]
        try:
            async with asyncio.TaskGroup() as group:
                for endpoint in endpoints:
                    await self._take_room(room)
                    if self.stopped is not None:
                        room.release()
                        sheet.results.append((endpoint, self.stopped))
                        continue
                    sending = group.create_task(self._send_one(endpoint, sheet, recorder))
                    sending.add_done_callback(lambda _: room.release())
                    if self.probing:
                        await asyncio.wait({sending})
            await reach("send.before_record")
            sheet.ended = True
        finally:
            # Also when this process must end: what providers said until then is known.
            await recorder.worked_on(sheet)
        if sheet.failure is not None:
            raise sheet.failure

    async def _take_room(self, room: asyncio.Semaphore) -> None:
        """Hold room for one message, and let its moment come."""
        await room.acquire()
        try:
            if self.stopped is None:
                await self._turn(1)
        except BaseException:
            room.release()
            raise

    async def _send_one(self, endpoint: int, sheet: Sheet, recorder: Gathering[Sheet]) -> None:
        message = single_message(self.ctx, self.held.slice, self._request, self.parcel, endpoint)
        (answer,) = await self._ask(message)
        await reach("send.after_one")
        self._heed(answer)
        sheet.results.append((endpoint, answer))
        recorder.hand_in(sheet)

    def _heed(self, answer: SendResult) -> None:
        """Stop where an answer concerns the whole sender, or where too many in a row were unclear.

        The sender is stopped once that is written; until then the others of this slice would go on.
        """
        self.doubts = doubts_after(self.doubts, answer)
        if isinstance(answer, Deferred) and answer.sender_wide:
            self.stopped = answer
        elif self.doubts >= most_doubts(self.channel.batch_limit, probing=self.probing):
            self.stopped = self.stopped or NOT_ASKED
        else:
            self.probing = False

    async def _ask(self, message: Message) -> Sequence[SendResult]:
        """Send, if the slice is still ours; who slept past the lease must not repeat another's work."""
        if self.ctx.clock.monotonic() >= self.lease.until:
            log.warning("lease_over_before_sending", request=message.request_id)
            return [LEASE_OVER] * len(message.recipients)
        return await _ask(self.channel, message)


async def _ask(channel: Channel, message: Message) -> Sequence[SendResult]:
    try:
        answers = await channel.send(message)
    except (
        Exception
    ):  # an adapter promises not to raise: this is our bug, and the message may be out
        log.exception("adapter_raised", channel=channel.kind, request=message.request_id)
        return [Unclear("the adapter failed")] * len(message.recipients)
    await reach("send.after_call")
    if len(answers) != len(message.recipients):
        log.error("adapter_miscounted", channel=channel.kind, request=message.request_id)
        return [Unclear("the adapter lost count")] * len(message.recipients)
    return answers
