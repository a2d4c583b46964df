"""The product as an operator runs it: web, workers and providers as processes on one database."""

import socket
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from dispatcher.app import running
from dispatcher.config import Settings
from dispatcher.context import Context
from dispatcher.ids import DeliveryKey
from dispatcher.rules.states import Shown
from dispatcher.stages.report import Differences, verify_ledger
from dispatcher.web.keys import create_key
from dispatcher.web.scopes import Scope
from tests.chaos.people import body
from tests.chaos.processes import Nursery, Process, Processes, until
from tests.chaos.providers import Acceptance, Providers, start_providers

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
class Answer:
    """What web said to a POST."""

    status: int
    body: dict[str, Any]
    replayed: bool
    retry_after: float = 0.0


@dataclass(slots=True)
class Product:
    """Starts, kills and stops the product's processes; posts to web; asks database and ledger."""

    ctx: Context
    port: int
    processes: Processes
    providers: Providers
    http: aiohttp.ClientSession
    key: str = field(repr=False)

    async def start_web(
        self, at: Mapping[str, str] | None = None, more: Mapping[str, object] | None = None
    ) -> Process:
        """`tidings serve`, ready for requests; always on the same port, as behind a name."""
        process = self.start("serve", at, more)

        async def answers() -> bool:
            with suppress(aiohttp.ClientError):
                async with self.http.get(self._url("/healthz")) as answer:
                    return answer.status == HTTPStatus.OK
            return False

        await until(answers, within=40, what="web should answer", watched=[process])
        return process

    def worker(
        self, at: Mapping[str, str] | None = None, more: Mapping[str, object] | None = None
    ) -> Process:
        """`tidings worker`; it need not be ready, a story waits for what comes of it."""
        return self.start("worker", at, more)

    async def start_workers(
        self,
        count: int,
        more: Mapping[str, object] | None = None,
        *,
        each_at: Sequence[Mapping[str, str]] = (),
    ) -> list[Process]:
        """Workers that have said that they live; the first ones with these failpoints in their way."""
        before = await self._living()
        points = [*each_at, *[{}] * (count - len(each_at))]
        started = [self.worker(at, more) for at in points]

        async def all_live() -> bool:
            return await self._living() >= before + count

        await until(all_live, within=40, what=f"{count} workers should live", watched=started)
        return started

    async def _living(self) -> int:
        living: int = await self.ctx.pool.fetchval("select count(*) from worker")
        return living

    async def post(self, path: str, body: object = None, *, key: str = "") -> Answer:
        """POST with our API key. Raises aiohttp.ClientError when web dies over it."""
        return await self.call("POST", path, body, key=key)

    async def call(self, method: str, path: str, body: object = None, *, key: str = "") -> Answer:
        """A request with our API key, as `post`."""
        headers = {"Authorization": f"Bearer {self.key}"}
        if key:
            headers["Idempotency-Key"] = key
        url = self._url(path)
        async with self.http.request(method, url, json=body, headers=headers) as answer:
            return Answer(
                answer.status,
                orjson.loads(await answer.read()),
                "Idempotency-Replayed" in answer.headers,
                float(answer.headers.get("Retry-After", 0)),
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

    def start(
        self,
        verb: str,
        at: Mapping[str, str] | None = None,
        more: Mapping[str, object] | None = None,
    ) -> Process:
        """`tidings` with that verb, with these failpoints in its way.

        `more`: settings of this process alone, by the names of the environment: `DATABASE__URL`.
        """
        environment = environment_of(self.ctx.settings, port=self.port, at=at or {})
        environment |= {f"TIDINGS_{name}": str(value) for name, value in (more or {}).items()}
        return self.processes.start("tidings", [verb], environment, name=verb)


@asynccontextmanager
async def product_on(
    nursery: Nursery,
    settings: Settings,
    folder: Path,
    luck: Mapping[str, object] | None = None,
) -> AsyncIterator[Product]:
    """Providers and what is configured to use them; the story starts web and workers itself.

    `luck`: settings of the sandbox that differ from `QUIET_LUCK`. What the processes say goes to `folder`.
    Nobody is left behind.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    processes = Processes(nursery, folder)
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as http:
            providers = await start_providers(processes, http, url, luck)
            told = providers.configure(settings.model_copy(update={"public_url": url}))
            async with running(told) as context:
                async with context.pool.acquire() as conn:
                    key = await create_key(
                        conn, name="faults", scopes=[Scope.ADMIN], now=context.now()
                    )
                yield Product(context, port, processes, providers, http, key.text)
                processes.kill_all()
    finally:
        processes.kill_all()


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
    if settings.policy_file is not None:
        values["POLICY_FILE"] = settings.policy_file
    values |= {f"WORKER__{name.upper()}": value for name, value in settings.worker}
    return {f"TIDINGS_{name}": str(value) for name, value in values.items()}
