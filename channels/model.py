"""The words every adapter speaks: what goes out, the closed set of answers, and what comes back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable


class ChannelKind(StrEnum):
    """How a message leaves. The word is used at the API, `code` in the database."""

    EMAIL = "email"
    SMS = "sms"
    SOCIAL = "social"
    BANNER = "banner"

    @property
    def code(self) -> int:
        """The smallint stored in `channel` columns."""
        return _CHANNEL_CODES[self]

    @classmethod
    def from_code(cls, code: int) -> "ChannelKind":
        """The kind stored as `code`; KeyError for a number nobody assigned."""
        return _CHANNELS_BY_CODE[code]


_CHANNEL_CODES = {
    ChannelKind.EMAIL: 1,
    ChannelKind.SMS: 2,
    ChannelKind.SOCIAL: 3,
    ChannelKind.BANNER: 4,
}
_CHANNELS_BY_CODE = {code: kind for kind, code in _CHANNEL_CODES.items()}


class Reason(IntEnum):
    """Why a provider did not take or deliver a message; stored as smallint, 30-99 are ours."""

    INVALID_ADDRESS = 30  # the address cannot exist or is malformed
    UNKNOWN_ADDRESS = 31  # well formed, but nobody is there (hard bounce, unknown handset)
    CANNOT_RECEIVE = 32  # landline, not a mobile, channel not supported by the address
    OPTED_OUT = 33  # the person told the provider to stop
    COMPLAINED = 34  # marked as spam
    BLOCKED = 35  # refused by the receiving side; the address itself is fine
    FILTERED = 36  # content was filtered by a carrier or mailbox
    TOO_LONG = 37
    CONTENT_REFUSED = 38  # any other permanent refusal of this message
    DUPLICATE_POST = 39
    UNREACHABLE_NOW = 40  # handset off, mailbox full, temporary
    THROTTLED = 41  # 429 or the provider's queue is full: nothing was processed
    ACCOUNT_PROBLEM = 42  # credentials, sender registration, suspended: the whole sender stops
    PROVIDER_DOWN = 43  # never connected: nothing was sent
    NOT_CONFIGURED = 44  # no credentials for this channel
    NO_RECEIPT = 45  # accepted, but no proof of delivery came back
    PROVIDER_ERROR = 46  # the provider failed the message for a reason it does not tell
    EXPIRED_AT_PROVIDER = 47  # the validity period ran out in the provider's queue
    NOT_TRIED = 48  # a neighbour in the same request was refused, so this one never went


class Fact(StrEnum):
    """One thing known about one attempt, from an answer, a callback or a look-up."""

    QUEUED = "queued"  # the provider has it
    SENT = "sent"  # on its way to the carrier or mailbox
    DELIVERED = "delivered"
    DISPLAYED = "displayed"  # banner: seen on a screen
    DISMISSED = "dismissed"
    OPENED = "opened"
    CLICKED = "clicked"
    POSTED = "posted"  # social: publicly visible
    DEFERRED = "deferred"  # the provider keeps trying
    UNDELIVERED = "undelivered"
    BOUNCED_SOFT = "bounced_soft"
    BOUNCED_HARD = "bounced_hard"
    DROPPED = "dropped"  # the provider refused to send after accepting
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One address of a message.

    `key` is our opaque, signed delivery key; it travels with the message and returns in receipts.
    `values` maps a slot's tag to its value, already escaped for the part the tag stands in.
    `headers` are per-recipient mail headers (List-Unsubscribe, Message-ID, …); empty elsewhere.
    """

    key: str
    address: str = field(repr=False)
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One provider request: shared parts and up to `Channel.batch_limit` recipients.

    `parts`: e-mail `subject`, `html`, `text`; SMS and social `text`. Channels with a batch limit
    of one receive parts that are already filled.
    `valid_for`: how long the provider may keep trying; None = the provider's default.
    """

    request_id: str
    sender: str
    parts: Mapping[str, str] = field(repr=False)
    recipients: Sequence[Recipient]
    reply_to: str | None = None
    valid_for: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took it. `provider_ref` is None where its answer was cut off afterwards."""

    provider_ref: str | None
    fact: Fact = Fact.QUEUED


@dataclass(frozen=True, slots=True)
class Deferred:
    """Nothing was sent; later may work. `sender_wide`: the whole sender must pause."""

    reason: Reason
    detail: str
    retry_after: timedelta | None = None
    sender_wide: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """Nothing was sent and never will be. `suppress`: never use this address again."""

    reason: Reason
    detail: str
    suppress: bool = False


@dataclass(frozen=True, slots=True)
class Unclear:
    """It may have been sent: never resend blindly."""

    detail: str


SendResult: TypeAlias = Accepted | Deferred | Rejected | Unclear


# A tuple: hundreds of thousands are made a second, and a frozen dataclass takes five times as long.
class Receipt(NamedTuple):
    """One verified fact a provider reports about one delivery.

    `detail` holds provider codes and words only, never an address. `suppress`: stop using the
    address; `lift`: the person took an earlier opt-out back (the fact is then UNSUBSCRIBED too: it
    is about the same consent). `key` is empty where the provider's event carries none of our keys
    (an inbound STOP); `address` is then the only handle.
    """

    key: str
    fact: Fact
    at: datetime
    provider_ref: str = ""
    detail: str = ""
    reason: Reason | None = None
    suppress: bool = False
    lift: bool = False
    address: str = ""

    def __repr__(self) -> str:
        return f"Receipt(key={self.key!r}, fact={self.fact!r}, at={self.at!r})"


class ForgedReceiptError(Exception):
    """The callback's signature does not match: answer 403 and store nothing."""


class MalformedReceiptError(Exception):
    """The callback is unreadable, or has no signature where one is due: answer 400."""


class Channel(Protocol):
    """What the send stage needs of an adapter."""

    @property
    def kind(self) -> ChannelKind: ...

    @property
    def provider(self) -> str:
        """Short provider word: `sendgrid`, `twilio`, `x`."""

    @property
    def batch_limit(self) -> int:
        """Recipients one request may carry; above one, the provider substitutes the slots."""

    @property
    def atomic_batches(self) -> bool:
        """Whether the provider promises to take a request for all its recipients or for none.

        Only then does proof about one of them prove that the others were taken too.
        """

    async def send(self, message: Message) -> Sequence[SendResult]:
        """Answers in the order of `message.recipients`; never raises for a provider's failure."""

    async def close(self) -> None:
        """Let go of what the adapter opened itself; the shared session belongs to its maker."""


@runtime_checkable
class TellsReceipts(Protocol):
    """An adapter whose provider calls back; ask with isinstance."""

    def receipts(
        self, *, raw_path: str, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> Sequence[Receipt]:
        """Verify, then parse. Raises ForgedReceiptError or MalformedReceiptError, nothing else.

        `raw_path` is path and query exactly as received; the public host comes from settings.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUp:
    """A question to the provider: did this one message leave?"""

    address: str = field(repr=False)
    text: str = field(repr=False)
    since: datetime
    sender: str


@runtime_checkable
class AnswersLookUps(Protocol):
    """An adapter whose provider can be asked what it did; ask with isinstance."""

    async def look_up(self, question: LookUp) -> Accepted | Rejected | Unclear | None:
        """What became of it; None when the provider shows no trace, or will never say. Never raises.

        Accepted carries the reference and the latest fact; Rejected means it left nobody's queue.
        Unclear: there was no answer this time, and asking again may bring one.
        """
