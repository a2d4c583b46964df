"""What must be right for an installation to work, each with the way to mend it."""

import asyncio
import errno
import os
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

import asyncpg

from channels.model import ChannelKind
from channels.settings import SendGridSettings, TwilioSettings, XSettings
from dispatcher.cli.base import CLOCK
from dispatcher.cli.failing import explained
from dispatcher.cli.finding import Finding, Mark
from dispatcher.cli.walls import ownership, wall
from dispatcher.config import Settings
from dispatcher.db import Connection, database_clock, describe, open_pool
from dispatcher.embedded import embedded_postgres
from dispatcher.rules.policy import PolicyError, load_policy
from dispatcher.watch import Check, Facts, State, listener, look, standing, workers
from dispatcher.web.health import schema
from segments.rules import SHIPPED_RULES, RulesError, load_rules
from templates.render import TemplateError, check_templates

SKEW: Final = timedelta(seconds=2)
HEARD_WITHIN_S: Final = 2.0

NOTIFY_SQL: Final = "select pg_notify($1, '')"
KEYS_SQL: Final = """
select count(*) from api_key
where revoked_at is null and (expires_at is null or expires_at > $1) and kind = 'key'
  and id <> 'cli'
"""


async def examine(settings: Settings) -> list[Finding]:
    """Look at files, providers, port and database. Never raises for what it looks at."""
    found = [*files(settings), *_providers(settings), _address(settings), *_proxies(settings)]
    found.append(_port(settings))
    async with AsyncExitStack() as stack:
        try:
            conn, direct = await _connect(stack, settings)
        except Exception as error:
            failure = explained(error)
            if failure is None:
                raise
            mend = "Start PostgreSQL, or correct TIDINGS_DATABASE__URL."
            return [*found, Finding("database", Mark.WRONG, str(failure), mend)]
        version = conn.get_server_version()
        where = (
            describe(settings.database.url.get_secret_value())
            if settings.database.url
            else "embedded"
        )
        # Since version 10 the second number is the patch, which the library calls micro.
        name = f"PostgreSQL {version.major}.{version.micro}, {where}"
        found.append(Finding("database", Mark.RIGHT, name))
        found.append(await _clock(conn))
        found.append(_finding(listener(await _is_heard(direct, conn))))
        migrations = await schema(conn)
        found.append(_finding(migrations))
        if migrations.state is State.OK:
            found += [await ownership(conn), await wall(conn)]
            found += await _operation(conn, settings)
    return found


def _finding(check: Check, wrong: Mark = Mark.WRONG) -> Finding:
    """What `/readyz` says in one word, in a line."""
    mark = Mark.RIGHT if check.state is State.OK else wrong
    mend = f"{check.mend[0].upper()}{check.mend[1:]}." if check.mend else ""
    return Finding(check.name, mark, check.detail, mend)


async def _is_heard(dsn: str, conn: Connection) -> bool:
    """Whether what the pool notifies reaches a connection that listens, as web and workers do."""
    channel = f"tidings_doctor_{os.getpid()}"
    arrived = asyncio.Event()
    with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        ear = await asyncpg.connect(dsn, timeout=HEARD_WITHIN_S)
        try:
            await ear.add_listener(channel, lambda *_: arrived.set())
            await conn.execute(NOTIFY_SQL, channel)
            await asyncio.wait_for(arrived.wait(), HEARD_WITHIN_S)
        finally:
            await ear.close(timeout=HEARD_WITHIN_S)
    return arrived.is_set()


async def _connect(stack: AsyncExitStack, settings: Settings) -> tuple[Connection, str]:
    """A connection of a pool, and where a connection is a session of its own."""
    if settings.database.url is not None:
        dsn = settings.database.url.get_secret_value()
    else:
        embedded = settings.embedded
        dsn = await stack.enter_async_context(
            embedded_postgres(embedded.dir, embedded.version, ephemeral=embedded.ephemeral)
        )
    pool = await open_pool(dsn, settings.database)
    stack.push_async_callback(pool.close)
    direct = settings.database.session_url
    conn = await stack.enter_async_context(pool.acquire())
    return conn, direct.get_secret_value() if direct else dsn


def files(settings: Settings) -> Iterator[Finding]:
    """The files that settings name: policy, segment rules; and the words."""
    policy = str(settings.policy_file or "shipped")
    try:
        load_policy(settings.policy_file)
        yield Finding("policy", Mark.RIGHT, policy)
    except PolicyError as error:
        yield Finding(
            "policy", Mark.WRONG, str(error), "Correct the file; TIDINGS_POLICY_FILE names it."
        )
    rules = settings.segment_rules_file or SHIPPED_RULES
    try:
        load_rules(rules)
        yield Finding("segment rules", Mark.RIGHT, str(settings.segment_rules_file or "shipped"))
    except RulesError as error:
        mend = "Correct the file; TIDINGS_SEGMENT_RULES_FILE names it."
        yield Finding("segment rules", Mark.WRONG, str(error), mend)
    try:
        check_templates()
        yield Finding("templates", Mark.RIGHT, "all words are there")
    except TemplateError as error:
        yield Finding(
            "templates", Mark.WRONG, str(error), "Reinstall, or correct your own templates."
        )


def _providers(settings: Settings) -> Iterator[Finding]:
    sections: dict[ChannelKind, SendGridSettings | TwilioSettings | XSettings] = {
        ChannelKind.EMAIL: settings.sendgrid,
        ChannelKind.SMS: settings.twilio,
        ChannelKind.SOCIAL: settings.x,
    }
    for kind, section in sections.items():
        name = type(section).__name__.removesuffix("Settings")
        if section.configured:
            yield Finding(kind.value, Mark.RIGHT, f"{name} at {section.base_url}")
        else:
            prefix = f"TIDINGS_{name.upper()}__"
            wanted = ", ".join(prefix + item.upper() for item in section.credentials)
            detail = f"{name} has no credentials: its deliveries are unreachable (not_configured)"
            yield Finding(kind.value, Mark.NOTE, detail, f"To use it, set {wanted}.")
    if settings.sendgrid.configured and settings.sendgrid.webhook_public_key is None:
        yield Finding(
            "mail receipts",
            Mark.WRONG,
            "without SendGrid's verification key every receipt is refused",
            "Set TIDINGS_SENDGRID__WEBHOOK_PUBLIC_KEY (Event Webhook settings, signed events).",
        )


def _address(settings: Settings) -> Finding:
    parts = urlsplit(settings.public_url)
    if parts.scheme == "https":
        return Finding("public_url", Mark.RIGHT, settings.public_url)
    if parts.hostname in {"127.0.0.1", "localhost", "::1"}:
        detail = f"{settings.public_url}: providers on the internet cannot reach it"
        return Finding(
            "public_url", Mark.NOTE, detail, "Set TIDINGS_PUBLIC_URL to your https address."
        )
    detail = f"{settings.public_url} is not https: links in messages and receipts are unprotected"
    return Finding("public_url", Mark.WRONG, detail, "Set TIDINGS_PUBLIC_URL to an https address.")


def _proxies(settings: Settings) -> Iterator[Finding]:
    """We speak no TLS: where the address does, somebody stands in front of us."""
    if settings.public_url.startswith("https:") and settings.api.proxies == 0:
        detail = "public_url is https, but no proxy is believed: all callers count as one address"
        mend = "Set TIDINGS_API__PROXIES to how many stand in front and add to X-Forwarded-For."
        yield Finding("callers", Mark.NOTE, detail, mend)


def _port(settings: Settings) -> Finding:
    host, port = settings.web.host, settings.web.port
    where = f"{host}:{port}"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                mend = (
                    "Fine if that is `tidings serve`; else choose another with TIDINGS_WEB__PORT."
                )
                return Finding("port", Mark.NOTE, f"{where} is in use", mend)
            mend = "Choose another with TIDINGS_WEB__HOST and TIDINGS_WEB__PORT."
            return Finding("port", Mark.WRONG, f"{where}: {error.strerror}", mend)
    return Finding("port", Mark.RIGHT, f"{where} is free")


async def _clock(conn: Connection) -> Finding:
    before = CLOCK.now()
    skew = abs(await database_clock(conn) - before)
    detail = f"{skew.total_seconds():.2f} s between this machine and the database"
    if skew > SKEW:
        return Finding(
            "clock", Mark.WRONG, detail, "Synchronise both (NTP): deadlines depend on it."
        )
    return Finding("clock", Mark.RIGHT, detail)


async def _operation(conn: Connection, settings: Settings) -> list[Finding]:
    """What is running, and what stands still."""
    now, limits = CLOCK.now(), settings.watch
    facts, keys = await look(conn, settings, now=now), await conn.fetchval(KEYS_SQL, now)
    return [
        _finding(workers(facts.workers, limits.worker_s), Mark.NOTE),
        *(_finding(check) for check in standing(facts, limits)),
        *_canaries(settings, facts),
        Finding("api keys", Mark.RIGHT, f"{keys} usable")
        if keys
        else Finding("api keys", Mark.NOTE, "none", "Make one: tidings keys create NAME"),
    ]


def _canaries(settings: Settings, facts: Facts) -> Iterator[Finding]:
    sends = {ChannelKind.EMAIL: settings.sendgrid, ChannelKind.SMS: settings.twilio}
    for kind, section in sends.items():
        if not section.configured or kind in facts.canaries:
            continue
        if kind in settings.canary.addresses:
            detail = "no worker sends it"
            mend = (
                "Start one; the policy must use the channel at P1 for the segment of an account "
                "without attributes, which must not be one that is always told."
            )
            yield Finding(f"{kind} canary", Mark.NOTE, detail, mend)
        else:
            detail = "off: with nothing to send, nobody notices that nothing would arrive"
            mend = f"Set TIDINGS_CANARY__{kind.name} to an address nobody reads."
            yield Finding(f"{kind} canary", Mark.NOTE, detail, mend)
