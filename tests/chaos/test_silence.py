"""Faults 16 and 50: whatever stops, whoever looks is told, in the same words, and told when it is over."""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.chaos.harness import Product
from tests.chaos.processes import until

pytestmark = pytest.mark.timeout(120)

WATCHFUL: Mapping[str, object] = {
    "CANARY__EMAIL": "canary@example.com",
    "CANARY__SMS": "+12125550189",
    "CANARY__EVERY_S": 1,
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

    async def stands(self, *names: str) -> None:
        """Until readiness, metrics and log say so of all of them."""

        async def told() -> bool:
            checks, stops, said = await self.checks(), await self.stops(), self.said("stop_began")
            return all(
                checks.get(name, "ok") != "ok" and name in stops and name in said for name in names
            )

        await until(told, within=20, what=f"{names} should be told of")

    async def over(self) -> None:
        """Until nothing stands still, and the log has an end for every beginning."""

        async def told() -> bool:
            if set((await self.checks()).values()) != {"ok"} or await self.stops():
                return False
            return sorted(self.said("stop_began")) == sorted(self.said("stop_ended"))

        await until(told, within=30, what="all should be well")

    @property
    def _base(self) -> str:
        return f"http://127.0.0.1:{self.product.port}"


async def heard(product: Product) -> None:
    """Until both canaries have arrived."""

    async def both() -> bool:
        return await product.count("canary where heard_at is not null") == 2

    await until(both, within=20, what="the canaries should arrive")


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
    await sight.stands("email canary", "email receipts")
    assert (await sight.checks())["sms canary"] == "ok"
    doctor = await sight.doctor()
    assert "email canary" in doctor
    assert "has said nothing since" in doctor
    await product.providers.behave()
    await sight.over()

    worker.kill()
    await sight.stands("workers", "email canary", "sms canary")
    await product.start_workers(1, WATCHFUL)
    await sight.over()
    assert (await product.differences()).total == 0
