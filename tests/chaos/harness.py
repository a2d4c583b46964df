"""The product as an operator runs it: web, workers and providers as processes on one database."""

import socket
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import aiohttp
import orjson

from channels.settings import SendGridSettings, TwilioSettings, XSettings
from dispatcher.config import Settings, WorkerSettings
from dispatcher.context import Context
from dispatcher.ids import DeliveryKey
from dispatcher.rules.states import Shown
from dispatcher.sandbox import SandboxSettings
from dispatcher.stages.report import Differences, verify_ledger
from tests.chaos.people import body
from tests.chaos.processes import Process, Processes, until

QUIET_LUCK = SandboxSettings(
    port=0, latency=0.01, latency_jitter=0.005, receipts_after=(0.02, 0.1), deferred=0, bounced=0
)
BRISK = WorkerSettings(
    heartbeat_s=1, lease_s=3, dequeue_timeout_s=0.2, sweep_every_s=0.3, reconcile_window_s=1.5
)
STATUSES_SQL = """
select t.i - 1 as status, sum(t.n)::int as n from slice s, unnest(s.n_by_status) with ordinality as t(n, i)
group by 1 having sum(t.n) <> 0
"""
WHAT_IS_LEFT_SQL = (
    "select id, state, paused_at from dispatch where state not in ('completed', 'cancelled')",
    """select id, channel, state, epoch, attempt, maybe_duplicate, start_at, lease_until, detail, n_by_status
       from slice where state in (0, 1, 2, 3)""",
    "select id, provider, received_at, tries from receipt_batch",
    "select entrypoint, status, priority, created, heartbeat from pgqueuer",
    """select wait_event_type, wait_event, state, xact_start, left(query, 120) as query
       from pg_stat_activity where datname = current_database() and xact_start is not null""",
)
UNSETTLED_SQL = """
select (select count(*) from dispatch where state not in ('completed', 'cancelled'))
     + (select count(*) from slice where state in (0, 1, 2, 3))
     + (select count(*) from receipt_batch)
"""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """One line of the sandbox's ledger."""

    provider: str
    key: str
    at: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What web said to a POST."""

    status: int
    body: dict[str, Any]
    replayed: bool


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


@dataclass(slots=True)
class Product:
    """Starts, kills and stops the product's processes; posts to web; asks database and ledger."""

    ctx: Context
    port: int
    processes: Processes
    providers: Providers
    http: aiohttp.ClientSession
    key: str = field(repr=False)

    async def start_web(self, at: Mapping[str, str] | None = None) -> Process:
        """`tidings serve`, ready for requests; always on the same port, as behind a name."""
        process = self._start("serve", at)

        async def answers() -> bool:
            with suppress(aiohttp.ClientError):
                async with self.http.get(self._url("/healthz")) as answer:
                    return answer.status == HTTPStatus.OK
            return False

        await until(answers, within=40, what="web should answer", watched=[process])
        return process

    def worker(self, at: Mapping[str, str] | None = None) -> Process:
        """`tidings worker`; it need not be ready, a story waits for what comes of it."""
        return self._start("worker", at)

    async def start_workers(self, count: int) -> list[Process]:
        """Workers that have said that they live."""
        before = await self._living()
        started = [self.worker() for _ in range(count)]

        async def all_live() -> bool:
            return await self._living() >= before + count

        await until(all_live, within=40, what=f"{count} workers should live", watched=started)
        return started

    async def _living(self) -> int:
        living: int = await self.ctx.pool.fetchval("select count(*) from worker")
        return living

    async def post(self, path: str, body: object = None, *, key: str = "") -> Answer:
        """POST with our API key. Raises aiohttp.ClientError when web dies over it."""
        headers = {"Authorization": f"Bearer {self.key}"}
        if key:
            headers["Idempotency-Key"] = key
        async with self.http.post(self._url(path), json=body, headers=headers) as answer:
            return Answer(
                answer.status,
                orjson.loads(await answer.read()),
                "Idempotency-Replayed" in answer.headers,
            )

    async def settle(self, *, within: float = 30.0) -> None:
        """Until every dispatch is over and every receipt has been applied."""

        async def over() -> bool:
            if await self.ctx.pool.fetchval(UNSETTLED_SQL):
                return False
            return not await self.providers.pending_receipts()

        try:
            await until(over, within=within, what="the dispatch should be over")
        except AssertionError as error:
            for statement in WHAT_IS_LEFT_SQL:
                for row in await self.ctx.pool.fetch(statement):
                    error.add_note(str(dict(row)))
            raise

    async def announce(self, **more: Any) -> str:
        """Post one update; the path of its dispatch."""
        answer = await self.post("/v1/updates", body(self.ctx, **more), key="alert-1")
        assert answer.status == HTTPStatus.ACCEPTED, answer
        path: str = answer.body["links"]["dispatch"]
        return path

    async def statuses(self) -> dict[str, int]:
        """Deliveries by status word, as the counters of the slices say; those without an address aside."""
        rows = await self.ctx.pool.fetch(STATUSES_SQL)
        found = {Shown(row["status"]): row["n"] for row in rows}
        return {status.word: n for status, n in found.items() if status is not Shown.UNREACHABLE}

    async def count(self, where: str) -> int:
        """How many rows, e.g. `slice where maybe_duplicate`."""
        found: int = await self.ctx.pool.fetchval(f"select count(*) from {where}")
        return found

    async def differences(self) -> Differences:
        """The verdict of `tidings verify --ledger`."""
        rows = await self.providers.ledger()

        async def one_by_one() -> AsyncIterator[Acceptance]:
            for row in rows:
                yield row

        async with self.ctx.pool.acquire() as conn:
            return await verify_ledger(conn, one_by_one(), signer=self.ctx.signer)

    async def acceptances(self) -> Counter[tuple[int, int, int]]:
        """How often a provider accepted each (update, channel, endpoint), whatever the attempt."""
        keys = [self.key_of(row) for row in await self.providers.ledger()]
        return Counter((key.update, key.channel, key.endpoint) for key in keys)

    def key_of(self, row: Acceptance) -> DeliveryKey:
        """Which delivery, and which attempt at it, was accepted."""
        return self.ctx.signer.read_delivery_key(row.key)

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def _start(self, verb: str, at: Mapping[str, str] | None) -> Process:
        environment = environment_of(self.ctx.settings, port=self.port, at=at or {})
        return self.processes.start("tidings", [verb], environment, name=verb)


async def start_providers(processes: Processes, http: aiohttp.ClientSession, url: str) -> Providers:
    """The sandbox, told where the product will listen."""
    settings = QUIET_LUCK.model_copy(update={"receipts_url": url, "public_url": url})
    text = settings.model_dump_json(
        include={"port", "latency", "latency_jitter", "receipts_after", "deferred", "bounced"}
        | {"receipts_url", "public_url"}
    )
    process = processes.start("sandbox", [text], name="sandbox")

    async def announced() -> bool:
        return b"\n" in process.log.read_bytes()

    await until(announced, within=40, what="the sandbox should listen", watched=[process])
    told = orjson.loads(process.log.read_bytes().splitlines()[0])
    return Providers(process, told["url"], told["public_key"], http)


def free_port() -> int:
    """A port nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment_of(settings: Settings, *, port: int, at: Mapping[str, str]) -> dict[str, str]:
    """The settings as an operator would export them, and the failpoints of this one process."""
    assert settings.database.url is not None
    assert settings.secret is not None
    assert settings.sendgrid.api_key is not None
    assert settings.twilio.auth_token is not None
    values: dict[str, object] = {
        "DATABASE__URL": settings.database.url.get_secret_value(),
        "DATABASE__POOL_MAX": 5,
        "SECRET": settings.secret.get_secret_value(),
        "PUBLIC_URL": settings.public_url,
        "WEB__PORT": port,
        "SENDGRID__API_KEY": settings.sendgrid.api_key.get_secret_value(),
        "SENDGRID__BASE_URL": settings.sendgrid.base_url,
        "SENDGRID__WEBHOOK_PUBLIC_KEY": settings.sendgrid.webhook_public_key,
        "SENDGRID__TIMEOUT_S": settings.sendgrid.timeout_s,
        "TWILIO__ACCOUNT_SID": settings.twilio.account_sid,
        "TWILIO__AUTH_TOKEN": settings.twilio.auth_token.get_secret_value(),
        "TWILIO__BASE_URL": settings.twilio.base_url,
        "TWILIO__TIMEOUT_S": settings.twilio.timeout_s,
        "TEST__FAILPOINTS": "true" if at else "false",
        "TEST__AT": orjson.dumps(dict(at)).decode(),
    }
    values |= {f"WORKER__{name.upper()}": value for name, value in settings.worker}
    return {f"TIDINGS_{name}": str(value) for name, value in values.items()}
