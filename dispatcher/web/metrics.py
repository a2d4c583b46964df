"""`/metrics`: what this process counted and, on web, what the database knows of the whole.

Web answers on its own port, to whom `metrics.token` admits. A worker has no port unless it is given
one; what it serves there is about itself alone.
"""

import asyncio
import hmac
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Final
from urllib.parse import urlsplit

import structlog
from aiohttp import web
from prometheus_client import REGISTRY, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from channels.model import Reason
from dispatcher.context import Context
from dispatcher.metrics import OTHER, one_of
from dispatcher.watch import Check, Facts, State, standing, workers
from dispatcher.watch.facts import STEPS
from dispatcher.web.answers import WebRefusedError
from dispatcher.web.banner.hub import HUB
from dispatcher.web.boundary import (
    CONTEXT,
    add_security_headers,
    identify,
    turn_errors_into_problems,
)
from dispatcher.web.health import LOOKOUT, own_checks
from dispatcher.web.routing import Plain

log = structlog.get_logger(__name__)

_THIS_MACHINE: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_REASONS: Final = frozenset(reason.name.lower() for reason in Reason)
_BY_HAND: Final = "by_hand"
_BIND_AGAIN_S: Final = 5.0


async def get_metrics(call: Plain) -> web.Response:
    """This process, and the facts of the database from a look that may be some seconds old."""
    _admit(call.request, call.ctx, on_public_port=True)
    facts, limits = await call.request.app[LOOKOUT].facts(), call.ctx.settings.watch
    checks = own_checks(call.request.app)
    if facts is not None:
        checks += [workers(facts.workers, limits.worker_s), *standing(facts, limits)]
    shown = _Shown(facts, checks, listening=call.request.app[HUB].listening)
    return _response(call.request, _Both(shown))


def _admit(request: web.Request, ctx: Context, *, on_public_port: bool) -> None:
    """Raises WebRefusedError. The numbers name nobody, but tell the world how an incident goes."""
    token = ctx.settings.metrics.token
    if token is None:
        if not on_public_port or urlsplit(ctx.settings.public_url).hostname in _THIS_MACHINE:
            return
    else:
        wanted = f"Bearer {token.get_secret_value()}".encode()
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if hmac.compare_digest(given, wanted):
            return
    challenge = {"WWW-Authenticate": 'Bearer realm="tidings metrics"'}
    raise WebRefusedError("metrics-token-invalid", headers=challenge)


def _response(request: web.Request, collector: Collector) -> web.Response:
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return web.Response(body=encode(collector), headers={"Content-Type": content_type})


@dataclass(frozen=True, slots=True, eq=False)
class _Shown(Collector):
    """The facts as gauges, and what is thought of them; `None`: the database cannot be asked."""

    facts: Facts | None
    checks: Sequence[Check]
    listening: bool

    def collect(self) -> Iterator[Metric]:
        yield _gauge(
            "tidings_database_up", "Whether the database answered.", self.facts is not None
        )
        yield _gauge(
            "tidings_banner_listening",
            "Whether this process hears of banner events at once.",
            self.listening,
        )
        stops = GaugeMetricFamily(
            "tidings_stop", "What stands still, as /readyz says.", labels=["check"]
        )
        for check in self.checks:
            stops.add_metric([check.name], float(check.state is not State.OK))
        yield stops
        if self.facts is not None:
            yield from _simple(self.facts)
            yield from _by_channel(self.facts)


def _simple(facts: Facts) -> Iterator[Metric]:
    yield _gauge("tidings_workers", "Workers seen in the last 30 seconds.", facts.workers)
    planning = GaugeMetricFamily(
        "tidings_planning_age_seconds",
        "Since when the oldest update that is not yet planned is on its way.",
        labels=["step"],
    )
    for step in STEPS:
        planning.add_metric([step], facts.steps.get(step, 0.0))
    yield planning
    yield _gauge(
        "tidings_oldest_transaction_seconds",
        "How long the oldest transaction in the database has been open.",
        facts.transaction_s,
    )
    yield _gauge(
        "tidings_unread_receipts_age_seconds",
        "Since when the oldest callback that is not yet applied waits.",
        facts.unread_s,
    )
    yield _gauge("tidings_receipts_stuck", "Callbacks that cannot be applied.", facts.stuck)
    slices = GaugeMetricFamily("tidings_slices", "Slices that are not over.", labels=["state"])
    for state, count in facts.slices.items():
        slices.add_metric([state.name.lower()], count)
    yield slices
    stuck = GaugeMetricFamily(
        "tidings_stuck_slices", "Slices nobody takes further.", labels=["why"]
    )
    for why, number in asdict(facts.stuck_slices).items():
        stuck.add_metric([why], number)
    yield stuck


def _by_channel(facts: Facts) -> Iterator[Metric]:
    def family(name: str, documentation: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(name, documentation, labels=["channel"])

    depth = family("tidings_queue_depth", "Deliveries that wait to leave.")
    age = family("tidings_oldest_queued_age_seconds", "How long the first delivery due has waited.")
    for kind, queue in facts.queues.items():
        depth.add_metric([kind], queue.deliveries)
        age.add_metric([kind], queue.oldest_s)
    tokens = family("tidings_rate_limit_tokens", "What the tightest limit of the senders has left.")
    for kind, left in facts.tokens.items():
        tokens.add_metric([kind], left)
    unheard = family("tidings_unheard_age_seconds", "Since when messages are out and nobody calls.")
    for kind in facts.tokens:
        unheard.add_metric([kind], facts.unheard.get(kind, 0.0))
    canaries = family("tidings_canary_age_seconds", "When the newest canary that arrived set out.")
    for kind, canary in facts.canaries.items():
        canaries.add_metric([kind], canary.age_s)
    yield from (depth, age, tokens, _paused(facts), unheard, canaries)


def _paused(facts: Facts) -> Metric:
    """Senders that are stopped by their providers' answers, and channels that a person paused."""
    words = "Senders that rest, and why."
    paused = GaugeMetricFamily("tidings_sender_paused", words, labels=["channel", "reason"])
    for kind, rest in facts.resting.items():
        if rest.until is not None:
            paused.add_metric([kind, one_of(rest.why, _REASONS) if rest.why else OTHER], 1)
    for kind in facts.paused:
        paused.add_metric([kind, _BY_HAND], 1)
    return paused


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=float(value))


@dataclass(frozen=True, slots=True, eq=False)
class _Both(Collector):
    """What this process counted, then what is shown beside it."""

    shown: _Shown

    def collect(self) -> Iterator[Metric]:
        yield from REGISTRY.collect()
        yield from self.shown.collect()


async def keep_worker_metrics(ctx: Context, stop: asyncio.Event) -> None:
    """Serve a worker's own numbers until `stop`, on `metrics.port`; without one, wait for it.

    A port that is taken is tried again: the process before may still be draining, and a worker that
    sends unmeasured is better than one that does not send.
    """
    settings = ctx.settings.metrics
    if settings.port is None:
        # A worker ends when any of its loops does.
        await stop.wait()
        return
    runner = web.AppRunner(_worker_app(ctx), access_log=None)
    await runner.setup()
    try:
        while not stop.is_set():
            try:
                await web.TCPSite(runner, settings.host, settings.port).start()
            except OSError as error:
                log.warning("metrics_port_taken", port=settings.port, error=type(error).__name__)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _BIND_AGAIN_S)
            else:
                log.info("metrics_listening", host=settings.host, port=settings.port)
                await stop.wait()
    finally:
        await runner.cleanup()


def _worker_app(ctx: Context) -> web.Application:
    async def get_own(request: web.Request) -> web.Response:
        _admit(request, ctx, on_public_port=False)
        return _response(request, REGISTRY)

    app = web.Application(middlewares=[identify, turn_errors_into_problems])
    app[CONTEXT] = ctx
    app.router.add_get("/metrics", get_own, name="metrics")
    app.on_response_prepare.append(add_security_headers)
    return app
