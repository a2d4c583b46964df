"""Faults 16 and 50: whatever stops, whoever looks is told, in the same words, and told when it is over."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from dispatcher.rules.policy import default_policy_text
from tests.chaos.harness import Product
from tests.chaos.people import crowd
from tests.chaos.processes import until
from tests.chaos.proxy import link_to

pytestmark = pytest.mark.timeout(120)

WATCHFUL: Mapping[str, object] = {
    "CANARY__EMAIL": "canary@example.com",
    "CANARY__SMS": "+12125550189",
    "CANARY__EVERY_S": 1.5,
    "WATCH__WORKER_S": 3,
    "WATCH__MISSING_RECEIPTS_S": 2,
    "WATCH__TRANSACTION_S": 2,
}


@dataclass(slots=True)
class Sight:
    """What readiness, metrics, log and doctor say."""

    product: Product

    async def checks(self) -> dict[str, str]:
        async with self.product.http.get(f"{self._base}/readyz") as answer:
            found: dict[str, str] = orjson.loads(await answer.read())["checks"]
            return found

    async def stops(self) -> set[str]:
        """By the metrics."""
        async with self.product.http.get(f"{self._base}/metrics") as answer:
            text = await answer.text()
        return {
            sample.labels["check"]
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "tidings_stop" and sample.value
        }

    def said(self, event: str) -> list[str]:
        """Names of the checks of which some process has logged this."""
        lines = [
            orjson.loads(line)
            for process in self.product.processes.all
            for line in process.log.read_bytes().splitlines()
            if event.encode() in line
        ]
        return [line["check"] for line in lines if line["event"] == event]

    async def doctor(self) -> str:
        process = self.product.start("doctor", more=WATCHFUL)
        await process.wait()
        return process.log.read_text("utf-8")

    async def stands(self, *names: str, beside: str = "database") -> None:
        """Until readiness, metrics and log say so of all of them, while what is `beside` is well."""

        async def told() -> bool:
            checks, stops, said = await self.checks(), await self.stops(), self.said("stop_began")
            told = {name for name in {*stops} & {*said} if checks.get(name, "ok") != "ok"}
            return told >= {*names} and checks[beside] == "ok"

        await until(told, within=40, what=f"{names} should be told of")

    async def over(self) -> None:
        """Until nothing stands still, and the log has an end for every beginning."""

        async def told() -> bool:
            if set((await self.checks()).values()) != {"ok"} or await self.stops():
                return False
            return sorted(self.said("stop_began")) == sorted(self.said("stop_ended"))

        await until(told, within=60, what="all should be well")

    @property
    def _base(self) -> str:
        return f"http://127.0.0.1:{self.product.port}"


async def heard(product: Product) -> None:
    """Until both canaries have arrived."""

    async def both() -> bool:
        return await product.count("canary where heard_at is not null") == 2

    await until(both, within=40, what="the canaries should arrive")


@pytest.mark.fault(50)
async def test_whatever_stops_silences_the_canary_and_is_told_until_it_is_over(
    product: Product,
) -> None:
    sight = Sight(product)
    await product.start_web(more=WATCHFUL)
    (worker,) = await product.start_workers(1, WATCHFUL)
    await heard(product)
    await sight.over()

    await product.providers.misbehave({"provider": "sendgrid", "kind": "receipts_lost"})
    await sight.stands("email canary", "email receipts", beside="sms canary")
    doctor = await sight.doctor()
    assert "email canary" in doctor
    assert "has said nothing since" in doctor
    await product.providers.behave()
    await sight.over()

    worker.kill()
    await sight.stands("workers", "email canary", "sms canary")
    (another,) = await product.start_workers(1, WATCHFUL)
    await sight.over()
    # A canary is always on its way: what moves while it is counted would not be counted alike.
    another.send(signal.SIGTERM)
    assert await another.wait() == 0
    found = await product.differences()
    assert (found.more_than_once, found.without_delivery, found.miscounted) == (0, 0, 0), found


@pytest.mark.fault(50)
async def test_a_provider_that_is_down_and_a_link_that_is_dead_are_told_until_they_are_back(
    product: Product, tmp_path: Path
) -> None:
    sight = Sight(product)
    policy = tmp_path / "policy.toml"
    text = default_policy_text().replace('base = "5s"', 'base = "1s"')
    policy.write_text(text.replace('cap = "5min"', 'cap = "1s"'), "utf-8")
    async with link_to(product.ctx.dsn) as link:
        more = {
            **WATCHFUL,
            "POLICY_FILE": policy,
            "DATABASE__DIRECT_URL": link.dsn,
            "DATABASE__LINK_TIMEOUT_S": 0.5,
            "DATABASE__CONNECT_TIMEOUT_S": 1,
        }
        await product.start_web(more=WATCHFUL)
        await product.start_workers(1, more)
        await heard(product)
        await sight.over()

        # The worker lives, sends what it had and beats; it is told of nothing new.
        link.freeze()
        await sight.stands("consumers", "email canary", "sms canary")
        link.thaw()
        await sight.over()

        await product.providers.misbehave(
            {"provider": "twilio", "kind": "status", "status": 503, "on": "any"}
        )
        await sight.stands("sms sender", "sms canary", beside="email sender")
        await product.providers.behave()
        await sight.over()


@pytest.mark.fault(16)
async def test_a_report_that_holds_a_snapshot_is_told_of_and_the_queue_goes_on(
    product: Product,
) -> None:
    sight = Sight(product)
    await crowd(product.ctx, mails=20, texts=150)
    await product.start_web(more=WATCHFUL)
    await product.start_workers(1, WATCHFUL)
    report = await asyncpg.connect(product.ctx.dsn)
    try:
        await report.execute("begin isolation level repeatable read")
        await report.fetchval("select count(*) from delivery")
        await sight.stands("transactions")
        assert "see pg_stat_activity" in (await sight.checks())["transactions"]
        await product.announce()

        async def told() -> bool:
            return len(await customers(product)) == 170

        await until(told, within=20, what="everybody should be told meanwhile")
    finally:
        await report.close()
    await sight.over()
    assert set((await customers(product)).values()) == {1}


async def customers(product: Product) -> Mapping[tuple[int, int, int], int]:
    """Acceptances of what was meant for customers."""
    canaries = await product.ctx.pool.fetch("select update_id from canary_update")
    known = {row["update_id"] for row in canaries}
    return {key: n for key, n in (await product.acceptances()).items() if key[0] not in known}
