"""The providers as a process: the judge, because they alone know what was accepted."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp
import orjson

from channels.settings import SendGridSettings, TwilioSettings, XSettings
from dispatcher.config import Settings
from dispatcher.sandbox import SandboxSettings
from tests.chaos.processes import Process, Processes, until

QUIET_LUCK = SandboxSettings(
    port=0, latency=0.01, latency_jitter=0.005, receipts_after=(0.02, 0.1), deferred=0, bounced=0
)


_LUCK = {"port", "latency", "latency_jitter", "receipts_after", "deferred", "bounced"}


@dataclass(frozen=True, slots=True)
class Acceptance:
    """One line of the sandbox's ledger."""

    provider: str
    key: str
    at: float


@dataclass(slots=True)
class Providers:
    """The sandbox process: the judge, because it alone knows what was accepted."""

    process: Process
    url: str
    public_key: str
    http: aiohttp.ClientSession

    async def misbehave(self, *faults: Mapping[str, object]) -> None:
        """Throw switches, see `dispatcher.sandbox.faults`."""
        async with self.http.post(f"{self.url}/sandbox/faults", json=list(faults)) as answer:
            assert answer.status == HTTPStatus.CREATED, await answer.text()

    async def behave(self) -> None:
        """Throw all switches back."""
        async with self.http.delete(f"{self.url}/sandbox/faults") as answer:
            assert answer.status == HTTPStatus.OK, await answer.text()

    async def struck(self) -> int:
        """How many requests the switches that are thrown have hit so far."""
        async with self.http.get(f"{self.url}/sandbox/faults") as answer:
            return sum(switch["struck"] for switch in orjson.loads(await answer.read()))

    async def ledger(self) -> list[Acceptance]:
        """Everything ever accepted, oldest first."""
        async with self.http.get(f"{self.url}/sandbox/ledger?limit=100000") as answer:
            lines = (await answer.read()).splitlines()
        rows = [orjson.loads(line) for line in lines]
        return [Acceptance(row["provider"], row["key"], row["at"]) for row in rows]

    async def pending_receipts(self) -> int:
        async with self.http.get(f"{self.url}/sandbox/stats") as answer:
            pending: int = orjson.loads(await answer.read())["pending_receipts"]
            return pending

    def configure(self, settings: Settings) -> Settings:
        """`settings` with every channel sending here."""
        keys = QUIET_LUCK
        channels = {
            "sendgrid": SendGridSettings(
                api_key=keys.sendgrid_api_key,
                base_url=f"{self.url}/sendgrid",
                webhook_public_key=self.public_key,
                timeout_s=2,
            ),
            "twilio": TwilioSettings(
                account_sid=keys.twilio_account_sid,
                auth_token=keys.twilio_auth_token,
                base_url=f"{self.url}/twilio",
                timeout_s=2,
            ),
            "x": XSettings(
                consumer_key=keys.x_consumer_key,
                consumer_secret=keys.x_consumer_secret,
                access_token=keys.x_access_token,
                access_token_secret=keys.x_access_token_secret,
                base_url=f"{self.url}/x",
                timeout_s=2,
            ),
        }
        return settings.model_copy(update=channels)


async def start_providers(
    processes: Processes,
    http: aiohttp.ClientSession,
    url: str,
    luck: Mapping[str, object] | None = None,
) -> Providers:
    """The sandbox, told where the product will listen; `luck` is what differs from `QUIET_LUCK`."""
    chosen = {"receipts_url": url, "public_url": url, **(luck or {})}
    settings = QUIET_LUCK.model_copy(update=chosen)
    text = settings.model_dump_json(include=_LUCK | chosen.keys())
    process = processes.start("sandbox", [text], name="sandbox")

    async def announced() -> bool:
        return b"\n" in process.log.read_bytes()

    await until(announced, within=40, what="the sandbox should listen", watched=[process])
    told = orjson.loads(process.log.read_bytes().splitlines()[0])
    return Providers(process, told["url"], told["public_key"], http)
