"""What the providers took: the judge in every question of lost or doubled messages."""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from itertools import islice
from typing import Protocol, TypedDict

from dispatcher.sandbox.journal import Journal, Line


class Provider(StrEnum):
    SENDGRID = "sendgrid"
    TWILIO = "twilio"
    X = "x"


_TEXTS_PER_MAIL = 20
"""A text is that much smaller than a mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One accepted message as its recipient would see it.

    `key`: the sender's own key (custom argument, callback query; the text of a post).
    `state`: the last thing reported about it. `extra`: mail headers, or facts worth showing.
    """

    seq: int
    provider: Provider
    key: str
    request_id: str
    at: float
    provider_ref: str
    sender: str
    to: str
    text: str
    subject: str = ""
    html: str = ""
    state: str = ""
    segments: int = 0
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def body_hash(self) -> str:
        """SHA-256 over subject, HTML and text."""
        return sha256(f"{self.subject}\0{self.html}\0{self.text}".encode()).hexdigest()


class Bodies(Protocol):
    """The readable side of one accepted request; rendered only when somebody looks."""

    def entry(self, acceptance: "Acceptance", index: int) -> Entry:
        """The message of recipient `index`."""


class Row(TypedDict):
    """One accepted message in the ledger's compact form.

    `count` is how often its key had been accepted by then: 2 is the first duplicate.
    """

    seq: int
    provider: str
    key: str
    rq: str
    count: int
    at: float


@dataclass(slots=True)
class Acceptance:
    """One provider request and the recipients it was accepted for."""

    first: int
    provider: Provider
    keys: Sequence[str]
    counts: Sequence[int]
    request_id: str
    provider_ref: str
    at: float
    bodies: Bodies | None = None

    def entry(self, index: int) -> Entry | None:
        """None once the body was let go."""
        return self.bodies.entry(self, index) if self.bodies is not None else None


class Ledger:
    """Rows for everything ever accepted, bodies for the latest.

    A row costs about 200 bytes. A million of them is a benchmark's run, so rows are held per
    request and written out only when asked for.
    """

    def __init__(self, kept: int, journal: Journal | None = None) -> None:
        self._limits = {
            Provider.SENDGRID: kept,
            Provider.TWILIO: kept * _TEXTS_PER_MAIL,
            Provider.X: kept * _TEXTS_PER_MAIL,
        }
        self._journal = journal
        self._forget()
        for line in journal.lines() if journal else ():
            self._add(line, None)

    def _forget(self) -> None:
        self._acceptances: list[Acceptance] = []
        self._ends: list[int] = []
        self._times: dict[Provider, dict[str, int]] = {name: {} for name in Provider}
        self._kept: dict[Provider, deque[Acceptance]] = {name: deque() for name in Provider}
        self._kept_count = dict.fromkeys(Provider, 0)
        self.accepted = dict.fromkeys(Provider, 0)
        self.duplicates = dict.fromkeys(Provider, 0)

    def record(self, line: Line, bodies: Bodies) -> Acceptance:
        """Write down one accepted request. On return the journal, if any, has it."""
        if self._journal is not None:
            self._journal.append(line)
        return self._add(line, bodies)

    def reset(self) -> None:
        """Forget everything, the journal too."""
        if self._journal is not None:
            self._journal.clear()
        self._forget()

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def rows(self, after: int = 0, limit: int | None = None) -> Iterator[Row]:
        """Rows with `seq` greater than `after`, oldest first."""
        return islice(self._rows(after), limit)

    def entries(
        self, provider: Provider, *, to: str = "", key: str = "", limit: int | None = None
    ) -> list[Entry]:
        """Messages that still have their bodies, newest first, filtered by recipient or key."""
        found = (
            entry
            for entry in self._entries(provider)
            if (not to or entry.to == to) and (not key or entry.key == key)
        )
        return list(islice(found, limit))

    def entry(self, seq: int) -> Entry | None:
        """The message of that row; None when there is none or its body was let go."""
        block = bisect_right(self._ends, seq - 1)
        if seq < 1 or block >= len(self._acceptances):
            return None
        acceptance = self._acceptances[block]
        return acceptance.entry(seq - acceptance.first)

    def _add(self, line: Line, bodies: Bodies | None) -> Acceptance:
        provider = Provider(line["provider"])
        acceptance = Acceptance(
            first=len(self) + 1,
            provider=provider,
            keys=tuple(line["keys"]),
            counts=self._count(provider, line["keys"]),
            request_id=line["rq"],
            provider_ref=line["ref"],
            at=line["at"],
        )
        self._acceptances.append(acceptance)
        self._ends.append(acceptance.first + len(acceptance.keys) - 1)
        self.accepted[provider] += len(acceptance.keys)
        if bodies is not None:
            self._keep(acceptance, bodies)
        return acceptance

    def _count(self, provider: Provider, keys: Sequence[str]) -> Sequence[int]:
        counts = []
        times = self._times[provider]
        for key in keys:
            number = times.get(key, 0) + 1
            times[key] = number
            counts.append(number)
        self.duplicates[provider] += sum(number > 1 for number in counts)
        return tuple(counts)

    def _keep(self, acceptance: Acceptance, bodies: Bodies) -> None:
        provider = acceptance.provider
        acceptance.bodies = bodies
        kept = self._kept[provider]
        kept.append(acceptance)
        self._kept_count[provider] += len(acceptance.keys)
        while kept and self._kept_count[provider] - len(kept[0].keys) >= self._limits[provider]:
            oldest = kept.popleft()
            oldest.bodies = None
            self._kept_count[provider] -= len(oldest.keys)

    def _rows(self, after: int) -> Iterator[Row]:
        block = bisect_right(self._ends, after)
        for acceptance in islice(self._acceptances, block, None):
            skipped = max(0, after + 1 - acceptance.first)
            pairs = zip(acceptance.keys, acceptance.counts, strict=True)
            for index, (key, number) in islice(enumerate(pairs), skipped, None):
                yield {
                    "seq": acceptance.first + index,
                    "provider": acceptance.provider.value,
                    "key": key,
                    "rq": acceptance.request_id,
                    "count": number,
                    "at": acceptance.at,
                }

    def _entries(self, provider: Provider) -> Iterator[Entry]:
        for acceptance in reversed(self._kept[provider]):
            for index in reversed(range(len(acceptance.keys))):
                entry = acceptance.entry(index)
                if entry is not None:
                    yield entry
