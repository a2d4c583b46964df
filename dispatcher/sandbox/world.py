"""What the three providers of one sandbox have in common."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from dispatcher.sandbox.chance import Chance, Ids
from dispatcher.sandbox.faults import Call, FaultBoard
from dispatcher.sandbox.ledger import Ledger
from dispatcher.sandbox.settings import SandboxSettings


@dataclass(slots=True)
class ReceiptAddress:
    """Where the product listens (`url`) and what it calls itself in signed URLs (`public`)."""

    url: str | None
    public: str | None

    def dialled(self, callback: str) -> str:
        """The address behind a callback URL given by the product."""
        if self.url and self.public and callback.startswith(self.public + "/"):
            return self.url + callback.removeprefix(self.public)
        return callback

    def signed(self, path: str) -> str | None:
        """The URL of `path` as the product expects it in a signature; None: nobody listens."""
        base = self.public or self.url
        return base + path if self.url and base else None


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One sandbox: its settings, its clock (POSIX seconds), its luck, its ledger, its faults."""

    settings: SandboxSettings
    clock: Callable[[], float]
    chance: Chance
    ids: Ids
    ledger: Ledger
    faults: FaultBoard
    receipts: ReceiptAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request to a provider. `take`: accept no more recipients than that."""

    call: Call
    path: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    in_flight: int = 1
    take: int | None = None


class Receipts(Protocol):
    """The callbacks one acceptance gives rise to."""

    def later(self) -> None:
        """In their own time."""

    async def now(self) -> None:
        """All of them, before this returns."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of a provider; `receipts` when something was accepted."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    receipts: Receipts | None = None


class ProviderServer(Protocol):
    """The part of a provider that faults need: its own words for a refusal."""

    def refuse(self, status: int, retry_after: float | None) -> Reply:
        """The provider's answer of that status; 401 and 429 in its exact form."""
