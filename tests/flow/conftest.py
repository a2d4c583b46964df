"""The whole product in one process: real database, real adapters, the sandbox over HTTP."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from channels.settings import SendGridSettings, TwilioSettings, XSettings
from dispatcher.app import running
from dispatcher.config import Settings
from dispatcher.context import Context
from dispatcher.sandbox import RunningSandbox, SandboxSettings, start
from dispatcher.senders import sync_senders
from tests.flow.story import MovableClock
from tests.profiles import BRISK


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    """Providers that answer at once and never bounce by chance."""
    running_sandbox = await start(
        SandboxSettings(
            port=0, latency=0, latency_jitter=0, receipts_after=(0, 0.05), deferred=0, bounced=0
        )
    )
    yield running_sandbox
    await running_sandbox.stop()


@pytest.fixture
def clock() -> MovableClock:
    """Business time that moves only when told."""
    return MovableClock(datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1))


def product_settings_for(settings: Settings, sandbox: RunningSandbox) -> Settings:
    """`settings` with every channel configured against the sandbox, and a brisk worker."""
    keys = sandbox.settings
    return settings.model_copy(
        update={
            "sendgrid": SendGridSettings(
                api_key=keys.sendgrid_api_key,
                base_url=sandbox.sendgrid_url,
                webhook_public_key=keys.sendgrid_webhook_public_key,
                timeout_s=2,
            ),
            "twilio": TwilioSettings(
                account_sid=keys.twilio_account_sid,
                auth_token=keys.twilio_auth_token,
                base_url=sandbox.twilio_url,
                timeout_s=2,
            ),
            "x": XSettings(
                consumer_key=keys.x_consumer_key,
                consumer_secret=keys.x_consumer_secret,
                access_token=keys.x_access_token,
                access_token_secret=keys.x_access_token_secret,
                base_url=sandbox.x_url,
                timeout_s=2,
            ),
            "worker": BRISK,
        }
    )


@pytest.fixture
def product_settings(settings: Settings, sandbox: RunningSandbox) -> Settings:
    """The test's settings with every channel configured against the sandbox."""
    return product_settings_for(settings, sandbox)


@pytest.fixture
async def ctx(product_settings: Settings, clock: MovableClock) -> AsyncIterator[Context]:
    """A running product without consumers: tests call the stages they mean."""
    async with running(product_settings, clock) as context:
        async with context.pool.acquire() as conn:
            await sync_senders(conn, context, now=context.now(), decide=True)
        yield context
