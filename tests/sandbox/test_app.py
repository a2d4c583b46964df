"""Starting and stopping: in this process, and as a process of its own."""

import asyncio
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from dispatcher.sandbox import SandboxSettings, start
from tests.sandbox.clients import Clients, mail_to
from tests.sandbox.conftest import Open
from tests.sandbox.product import Product, until

ROOT = Path(__file__).parents[2]
SCRIPT = """
import asyncio
from dispatcher.sandbox import SandboxSettings, run_forever
settings = SandboxSettings(port=0, journal={journal!r})
asyncio.run(run_forever(settings, started=lambda sandbox: print(sandbox.url, flush=True)))
"""


async def test_a_taken_port_is_an_error_that_names_it(clients: Clients) -> None:
    port = int(clients.sandbox.url.rpartition(":")[2])
    with pytest.raises(OSError, match=str(port)):
        await start(SandboxSettings(port=port))


async def test_it_stops_although_the_product_never_answers(open_sandbox: Open) -> None:
    clients = await open_sandbox(receipts_url="http://127.0.0.1:9")
    await clients.send_mail(mail_to(["anna@example.com"]))
    await until(lambda: clients.sandbox.servers.pending)
    async with asyncio.timeout(5):
        await clients.sandbox.stop()


async def test_receipts_wait_for_a_product_that_is_down(
    open_sandbox: Open, product: Product
) -> None:
    clients = await open_sandbox(receipts_url="http://127.0.0.1:9")
    await clients.send_mail(mail_to(["anna@example.com"]))
    await until(lambda: clients.sandbox.servers.pending)
    clients.sandbox.send_receipts_to(product.url)
    await clients.sandbox.settled()
    assert sorted(product.names("anna@example.com")) == ["delivered", "processed"]


async def test_a_reset_stops_what_is_being_repeated(open_sandbox: Open, product: Product) -> None:
    clients = await open_sandbox()
    product.answers.extend([503] * 1_000)
    await clients.send_mail(mail_to(["anna@example.com"]))
    await until(lambda: product.posted)
    clients.sandbox.servers.reset()
    await clients.sandbox.settled()
    told = len(product.posted)
    await clients.send_mail(mail_to(["silent@example.com"]))
    await clients.sandbox.settled()
    assert len(product.posted) == told


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_as_a_process_it_ends_on_a_signal_with_its_journal_written(
    tmp_path: Path, number: signal.Signals
) -> None:
    journal = tmp_path / "ledger.jsonl"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SCRIPT.format(journal=str(journal)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            url = (await process.stdout.readline()).decode().strip()
            headers = {"Authorization": "Bearer SG.sandbox"}
            body = mail_to(["anna@example.com"]).get()
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"{url}/sendgrid/v3/mail/send", json=body, headers=headers) as answer,
            ):
                assert answer.status == 202
            process.send_signal(number)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert journal.read_bytes().count(b"\n") == 1
