"""Fault 26: a name that does not resolve, an expired certificate, revoked credentials."""

import asyncio
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from dispatcher.config import Settings
from tests.certificates import server_context
from tests.chaos.harness import Product
from tests.chaos.people import crowd
from tests.chaos.policies import impatient
from tests.chaos.processes import Process, until

pytestmark = [pytest.mark.timeout(120), pytest.mark.fault(26)]

PEOPLE = 6


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    return settings.model_copy(update={"policy_file": impatient(tmp_path)})


@pytest.fixture
async def expired(tmp_path: Path) -> AsyncIterator[str]:
    """A server nobody should talk to any more; its address."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    context = server_context(tmp_path, ends_in=timedelta(days=-1))
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def both_stopped(product: Product, why: str, worker: Process) -> None:
    """Both senders were stopped more than once, for that reason; everybody is still due."""

    async def stopped() -> bool:
        return await product.count(f"sender where trips > 1 and paused_why = '{why}'") == 2

    await until(stopped, within=20, what=f"both senders should stop: {why}", watched=[worker])
    # The one that asks is just being sent, perhaps.
    assert set(await product.statuses()) <= {"queued", "sending"}
    assert await product.providers.ledger() == []
    said = [line for line in worker.log.read_text().splitlines() if "sender_stopped" in line]
    assert {channel for channel in ("email", "sms") if channel in "".join(said)} == {"email", "sms"}


async def test_what_cannot_reach_its_provider_stays_due_and_leaves_once_that_is_mended(
    product: Product, expired: str
) -> None:
    await crowd(product.ctx, mails=PEOPLE // 2, texts=PEOPLE // 2)
    await product.start_web()
    elsewhere = {"TWILIO__BASE_URL": "http://twilio.invalid", "SENDGRID__BASE_URL": expired}
    (lost,) = await product.start_workers(1, elsewhere)
    await product.announce()
    await both_stopped(product, "provider_down", lost)
    lost.send(signal.SIGTERM)
    assert await lost.wait() == 0

    await product.providers.misbehave(
        *({"provider": name, "kind": "credentials_revoked"} for name in ("sendgrid", "twilio"))
    )
    (worker,) = await product.start_workers(1)
    await both_stopped(product, "account_problem", worker)
    await product.providers.behave()
    await product.settle()
    told = await product.acceptances()
    assert (len(told), set(told.values())) == (PEOPLE, {1})
    assert await product.statuses() == {"delivered": PEOPLE}
    assert await product.count("delivery where attempt > 1") == 0
    assert await product.count("sender where trips > 0") == 0
    assert worker.log.read_text().count("sender_resumed") == 2
