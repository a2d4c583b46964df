"""Twilio's status callbacks and inbound webhooks: form posts, signed with the auth token."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hmac import digest
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urldefrag

import aiohttp

from dispatcher.sandbox.faults import (
    ReceiptsDelayed,
    ReceiptsDuplicated,
    ReceiptsLost,
    ReceiptsReordered,
)
from dispatcher.sandbox.ledger import Provider
from dispatcher.sandbox.receipts import Caller, Failure, Pool, Timeline
from dispatcher.sandbox.twilio.fates import Fate, Turn
from dispatcher.sandbox.twilio.text import API_VERSION, ENDED, Text
from dispatcher.sandbox.world import World

SIGNATURE_HEADER: Final = "X-Twilio-Signature"
INBOUND_PATH: Final = "/v1/receipts/twilio"

_CLIENT_ERROR = 400
_SERVER_ERROR = 500


def signature(token: str, url: str, form: Mapping[str, str]) -> str:
    """base64(HMAC-SHA1(token, url followed by each name and value, sorted by name))."""
    told = url + "".join(name + form[name] for name in sorted(form))
    return b64encode(digest(token.encode(), told.encode(), "sha1")).decode()


class _Due(NamedTuple):
    text: Text
    turn: Turn


@dataclass(frozen=True, slots=True)
class Override:
    """The connection settings in a callback URL's fragment.

    `rc` retries (Twilio's default 1), `rp` when to repeat (`ct` connection failures, `rt` time-outs
    of the answer, `4xx`, `5xx`, `all`), `ct` and `rt` the time-outs in milliseconds.
    """

    retries: int = 1
    policy: frozenset[str] = frozenset({"ct"})
    connect: float = 5.0
    read: float = 15.0

    @classmethod
    def parse(cls, fragment: str) -> "Override":
        """What is malformed counts as not given."""
        given = dict(parse_qsl(fragment))
        return cls(
            retries=min(_number(given.get("rc"), 1), 5),
            policy=frozenset(given.get("rp", "ct").split(",")),
            connect=min(_number(given.get("ct"), 5_000), 10_000) / 1_000,
            read=min(_number(given.get("rt"), 15_000), 15_000) / 1_000,
        )

    def repeats(self, failure: str | None) -> bool:
        return failure is not None and bool({failure, "all"} & self.policy)


class Callbacks:
    """Moves accepted texts through their statuses and tells the product."""

    def __init__(self, world: World, caller: Caller) -> None:
        self._world = world
        self._caller = caller
        self._run_number = 0
        self._token = world.settings.twilio_auth_token.get_secret_value()
        self.timeline: Timeline[_Due] = Timeline(self._send_due)
        self.pool = Pool(world.settings.callback_connections)

    def reset(self) -> None:
        """Forget what was still to be sent."""
        self._run_number += 1
        self.timeline.clear()

    def later(self, text: Text, fate: Fate, queued: float) -> None:
        """Let the statuses come in their own time, `queued` seconds later than usual."""
        first, last = self._world.settings.receipts_after
        faults = self._world.faults
        times = [queued + first + turn.when * (last - first) for turn in fate]
        if faults and faults.strike(Provider.TWILIO, ReceiptsReordered):
            times.reverse()
        for turn, delay in zip(fate, times, strict=True):
            held = faults.strike(Provider.TWILIO, ReceiptsDelayed) if faults else None
            self.timeline.add(delay + (held.seconds if held else 0), _Due(text, turn))

    async def now(self, text: Text, fate: Fate) -> None:
        """All statuses, one after the other, before this returns."""
        for turn in fate:
            text.become(turn.status, turn.error, self._world.clock())
            await self.report(text, turn)

    async def inbound(self, form: Mapping[str, str]) -> int | None:
        """Post a received text; the product's status, None when it could not be reached."""
        url = self._world.receipts.signed(INBOUND_PATH)
        if url is None:
            return None
        outcome = await self._post(url, form, Override())
        return outcome if isinstance(outcome, int) else None

    async def report(self, text: Text, turn: Turn) -> None:
        """Post one status where the text's StatusCallback says, as often as its fragment says."""
        if not text.callback:
            return
        url, fragment = urldefrag(text.callback)
        override = Override.parse(fragment)
        form = self._form(text, turn)
        for _ in range(1 + override.retries):
            outcome = await self._post(url, form, override)
            if not override.repeats(_kind_of_failure(outcome)):
                return

    async def _send_due(self, due: Sequence[_Due]) -> None:
        run_number = self._run_number  # a reset may come while the pool is full
        for text, turn in due:
            if text.status == "canceled":
                continue
            if text.status not in ENDED:
                text.become(turn.status, turn.error, self._world.clock())
            for _ in range(self._copies()):
                await self.pool.put(partial(self._report_unless_reset, text, turn, run_number))

    async def _report_unless_reset(self, text: Text, turn: Turn, run_number: int) -> None:
        if run_number == self._run_number:
            await self.report(text, turn)

    def _copies(self) -> int:
        faults = self._world.faults
        if not faults:
            return 1
        if faults.strike(Provider.TWILIO, ReceiptsLost):
            return 0
        doubled = faults.strike(Provider.TWILIO, ReceiptsDuplicated)
        return doubled.copies if doubled else 1

    def _form(self, text: Text, turn: Turn) -> dict[str, str]:
        form = {
            "AccountSid": text.account,
            "ApiVersion": API_VERSION,
            "From": text.sender or "",
            "MessageSid": text.sid,
            "MessageStatus": turn.status,
            "SmsSid": text.sid,
            "SmsStatus": turn.status,
            "To": text.to,
        }
        if text.service:
            form["MessagingServiceSid"] = text.service
        if turn.error:
            form["ErrorCode"] = str(turn.error)
        if turn.status in ENDED:
            done = datetime.fromtimestamp(self._world.clock(), UTC)
            form["RawDlrDoneDate"] = done.strftime("%y%m%d%H%M")
        return form

    async def _post(self, url: str, form: Mapping[str, str], override: Override) -> int | Failure:
        wait = aiohttp.ClientTimeout(
            sock_connect=override.connect, total=override.connect + override.read
        )
        headers = {SIGNATURE_HEADER: signature(self._token, url, form)}
        return await self._caller.post(self._world.receipts.dialled(url), form, headers, wait)


def _kind_of_failure(outcome: int | Failure) -> str | None:
    if isinstance(outcome, Failure):
        return outcome.value
    if outcome >= _SERVER_ERROR:
        return "5xx"
    return "4xx" if outcome >= _CLIENT_ERROR else None


def _number(value: str | None, otherwise: int) -> int:
    return int(value) if value is not None and value.isdecimal() else otherwise
