"""Switches that make a provider misbehave, and the board they are thrown on."""

from itertools import count
from random import Random
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from dispatcher.sandbox.ledger import Provider

Call = Literal["send", "look_up"]


class _Fault(BaseModel):
    """What all faults have in common.

    `times`: how often it strikes before it is gone (None: until cleared). `probability`: per
    request, or per event for faults of receipts. `on`: which calls it may hit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: Provider
    probability: float = Field(default=1.0, gt=0, le=1)
    times: int | None = Field(default=None, ge=1)
    on: Call | Literal["any"] = "send"


class StatusFault(_Fault):
    """Answer with this status instead of doing anything."""

    kind: Literal["status"]
    status: int = Field(ge=300, le=599)
    retry_after: float | None = Field(default=None, ge=0)


class RateLimit(_Fault):
    """429; nothing is processed. Without `retry_after` no header says when to come back."""

    kind: Literal["rate_limit"]
    retry_after: float | None = Field(default=None, ge=0)


class CredentialsRevoked(_Fault):
    """401, whatever the credentials."""

    kind: Literal["credentials_revoked"]
    on: Call | Literal["any"] = "any"


class Slow(_Fault):
    """Wait before looking at the request."""

    kind: Literal["slow"]
    seconds: float = Field(gt=0, le=3_600)


class ResetBeforeAccept(_Fault):
    """Reset the connection; nothing is processed."""

    kind: Literal["reset_before_accept"]


class AcceptThenReset(_Fault):
    """Accept, then reset the connection instead of answering."""

    kind: Literal["accept_then_reset"]


class HalfAccept(_Fault):
    """Accept the first `accept` recipients, then reset the connection. SendGrid only."""

    kind: Literal["half_accept"]
    accept: int = Field(ge=0, le=1_000)


class TruncatedBody(_Fault):
    """Process, but send half of the JSON; SendGrid, whose answer is empty, omits X-Message-Id."""

    kind: Literal["truncated_body"]


class HtmlBody(_Fault):
    """Answer with a gateway's error page; nothing is processed."""

    kind: Literal["html_body"]
    status: int = Field(default=502, ge=200, le=599)


class AcceptThenHtml(_Fault):
    """Process, then answer with a gateway's error page."""

    kind: Literal["accept_then_html"]
    status: int = Field(default=502, ge=200, le=599)


class ReceiptFirst(_Fault):
    """Process, deliver all receipts, and only then answer."""

    kind: Literal["receipt_first"]


class ReceiptsLost(_Fault):
    """Never send the event."""

    kind: Literal["receipts_lost"]


class ReceiptsDuplicated(_Fault):
    """Send the event `copies` times in all, each copy of a SendGrid event with an id of its own."""

    kind: Literal["receipts_duplicated"]
    copies: int = Field(default=2, ge=2, le=50)


class ReceiptsReordered(_Fault):
    """The last event of a message first, the first last."""

    kind: Literal["receipts_reordered"]


class ReceiptsDelayed(_Fault):
    """Hold the events back."""

    kind: Literal["receipts_delayed"]
    seconds: float = Field(gt=0, le=86_400)


Fault = Annotated[
    StatusFault
    | RateLimit
    | CredentialsRevoked
    | Slow
    | ResetBeforeAccept
    | AcceptThenReset
    | HalfAccept
    | TruncatedBody
    | HtmlBody
    | AcceptThenHtml
    | ReceiptFirst
    | ReceiptsLost
    | ReceiptsDuplicated
    | ReceiptsReordered
    | ReceiptsDelayed,
    Field(discriminator="kind"),
]
FAULTS: TypeAdapter[list[Fault]] = TypeAdapter(list[Fault])

F = TypeVar("F", bound=_Fault)


class Switch(BaseModel):
    """A fault on the board: `struck` counts how often it has hit."""

    id: int
    fault: Fault
    struck: int = 0

    @property
    def spent(self) -> bool:
        return self.fault.times is not None and self.struck >= self.fault.times


class FaultBoard:
    """The faults now switched on. Draws follow the seed, in the order of the requests."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(seed)
        self._numbers = count(1)
        self._switches: list[Switch] = []

    def add(self, fault: Fault) -> Switch:
        switch = Switch(id=next(self._numbers), fault=fault)
        self._switches.append(switch)
        return switch

    def active(self) -> list[Switch]:
        return [switch for switch in self._switches if not switch.spent]

    def clear(self, number: int | None = None) -> int:
        """Switch one off, or all; how many that were."""
        left = [] if number is None else [one for one in self._switches if one.id != number]
        cleared = len(self._switches) - len(left)
        self._switches = left
        return cleared

    def strike(self, provider: Provider, kind: type[F], call: Call = "send") -> F | None:
        """The fault of that kind that hits this request, if one does; it is then used up by one."""
        for switch in self._switches:
            fault = switch.fault
            if not isinstance(fault, kind) or not _concerns(fault, provider, call):
                continue
            if switch.spent or self._rng.random() >= fault.probability:
                continue
            switch.struck += 1
            return fault
        return None

    def __bool__(self) -> bool:
        return bool(self._switches)


def _concerns(fault: _Fault, provider: Provider, call: Call) -> bool:
    return fault.provider is provider and fault.on in (call, "any")
