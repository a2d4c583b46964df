"""Connections and pools. None of them waits for ever: a link may be dead and look alive.

When packets are dropped on the way, nobody says so, and TCP alone believes in such a link for a quarter
of an hour. Three things end it sooner: the kernel, on both sides, when nothing gets through for
`link_timeout_s`; a time limit on every answer; and one on the wait for a free connection.
"""

import asyncio
import socket
from typing import Any, Final, Protocol, TypeAlias
from urllib.parse import parse_qs, urlsplit

import asyncpg
import orjson
from asyncpg.pool import PoolAcquireContext, PoolConnectionProxy

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

OLDEST_VERSION: Final = 16
_NO_ADDRESS: Final = "database.url is not a PostgreSQL address (postgresql://user@host:5432/name)."
STATEMENTS_KEPT: Final = 100
# A process that is frozen inside a transaction must not hold its locks against all the others.
_IDLE_IN_TRANSACTION_S: Final = 10
_PROBES: Final = 3
_BROKEN: Final = (
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,  # it ended while it was being prepared, as it does while servers restart
    asyncpg.InternalClientError,
)


class DatabaseUnavailableError(Exception):
    """PostgreSQL cannot be used; the text names the place, no password, and what to check."""


class DatabaseAddressError(DatabaseUnavailableError):
    """What stands in database.url leads nowhere, whoever is asked; the text has nothing of it."""


class PoolLimits(Protocol):
    """How connections use PostgreSQL; times in seconds. The settings' `database` group fits."""

    @property
    def pool_min(self) -> int: ...
    @property
    def pool_max(self) -> int: ...
    @property
    def statement_timeout_s(self) -> float: ...
    @property
    def connect_timeout_s(self) -> float: ...
    @property
    def link_timeout_s(self) -> float: ...
    @property
    def transaction_pooler(self) -> bool: ...


class _Pool(asyncpg.Pool):
    """A pool that nobody waits at for ever: what holds its connections is bounded, so this may be."""

    __slots__ = ("_wait_s",)

    def __init__(self, *args: Any, wait_s: float | None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._wait_s = wait_s

    def acquire(self, *, timeout: float | None = None) -> PoolAcquireContext:
        return super().acquire(timeout=self._wait_s if timeout is None else timeout)


async def open_pool(
    dsn: str,
    limits: PoolLimits,
    *,
    application_name: str = "tidings",
    size: tuple[int, int] | None = None,
    patient: bool = False,
) -> Pool:
    """A pool whose connections speak UTC and turn json and jsonb into Python objects and back.

    `size`: fewest and most connections, else those of the limits. `patient`: a statement may take as
    long as the server lets it, for commands that somebody watches.

    Raises:
        DatabaseUnavailableError: it cannot be reached, refuses us, or is older than 16; a
            DatabaseAddressError where that is no address at all.
    """
    fewest, most = size or (min(limits.pool_min, limits.pool_max), limits.pool_max)
    longest = None if patient else limits.statement_timeout_s + limits.link_timeout_s
    try:
        pool: Pool = await _Pool(
            dsn,
            wait_s=longest,
            min_size=fewest,
            max_size=most,
            max_queries=50_000,
            max_inactive_connection_lifetime=300.0,
            init=_prepare,
            loop=asyncio.get_running_loop(),
            record_class=asyncpg.Record,
            # Another session may serve the next transaction, and knows no statement prepared in this.
            statement_cache_size=0 if limits.transaction_pooler else STATEMENTS_KEPT,
            command_timeout=longest,
            **_how(limits, application_name, sessions=not limits.transaction_pooler),
        )
    except ValueError:
        raise DatabaseAddressError(_NO_ADDRESS) from None
    except (OSError, *_BROKEN) as error:
        raise DatabaseUnavailableError(_sentence(dsn, error)) from None
    async with pool.acquire() as conn:
        version = conn.get_server_version().major
    if version < OLDEST_VERSION:
        await pool.close()
        raise DatabaseUnavailableError(
            f"{describe(dsn)} is PostgreSQL {version}; Tidings needs {OLDEST_VERSION} or later."
        )
    return pool


async def open_session(dsn: str, limits: PoolLimits, *, application_name: str) -> Connection:
    """One connection to listen on, for short statements; it speaks JSON as text.

    Nothing that is asked there takes long, so an answer that does not come within `link_timeout_s`
    shows that the link is dead: notifications would not come either.
    """
    conn: Connection = await asyncpg.connect(
        dsn,
        command_timeout=limits.link_timeout_s,
        **_how(limits, application_name, sessions=True),
    )
    return conn


def _how(limits: PoolLimits, application_name: str, *, sessions: bool) -> dict[str, Any]:
    return {
        "timeout": limits.connect_timeout_s,
        "connection_class": _watched(limits.link_timeout_s),
        "server_settings": {
            "application_name": application_name,
            "timezone": "UTC",
            **(_time_limits(limits) if sessions else {}),
        },
    }


def _time_limits(limits: PoolLimits) -> dict[str, str]:
    """Poolers refuse them at the start of a session; the role in the database must have them there.

    What the server is told of the link frees the locks of a client that has vanished.
    """
    probe = str(_probe_every(limits.link_timeout_s))
    link_ms = str(int(limits.link_timeout_s * 1000))
    return {
        "statement_timeout": str(int(limits.statement_timeout_s * 1000)),
        "idle_in_transaction_session_timeout": f"{_IDLE_IN_TRANSACTION_S}s",
        "tcp_keepalives_idle": probe,
        "tcp_keepalives_interval": probe,
        "tcp_keepalives_count": str(_PROBES),
        "tcp_user_timeout": link_ms,
        "client_connection_check_interval": link_ms,
    }


def _probe_every(link_timeout_s: float) -> int:
    """A silent link is probed this often, in seconds, so that it is dead in time."""
    return max(1, int(link_timeout_s / (_PROBES + 1)))


def _watched(link_timeout_s: float) -> type[asyncpg.Connection]:
    """Connections whose socket the kernel gives up when nothing gets through for so long."""
    wanted = {
        "TCP_KEEPIDLE": _probe_every(link_timeout_s),
        "TCP_KEEPINTVL": _probe_every(link_timeout_s),
        "TCP_KEEPCNT": _PROBES,
        "TCP_USER_TIMEOUT": int(link_timeout_s * 1000),
    }

    class Watched(asyncpg.Connection):
        __slots__ = ()

        def __init__(self, protocol: Any, transport: asyncio.Transport, *rest: Any) -> None:
            super().__init__(protocol, transport, *rest)
            link = transport.get_extra_info("socket")
            if link.family in {socket.AF_INET, socket.AF_INET6}:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                for name, value in wanted.items():
                    if hasattr(socket, name):  # which of them there are depends on the system
                        link.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    return Watched


async def _prepare(conn: Connection) -> None:
    # Binary, because COPY speaks nothing else; jsonb begins with its format's version.
    await conn.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda value: b"\x01" + orjson.dumps(value),
        decoder=lambda data: orjson.loads(data[1:]),
    )
    await conn.set_type_codec(
        "json", schema="pg_catalog", format="binary", encoder=orjson.dumps, decoder=orjson.loads
    )


def describe(dsn: str) -> str:
    """`host:port/database` of a DSN, for people; never the user or the password."""
    parts = urlsplit(dsn)
    query = parse_qs(parts.query)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    where = host or next(iter(query.get("host", [])), "localhost")
    return f"{where}:{port or 5432}{parts.path or '/'}"


def _sentence(dsn: str, error: Exception) -> str:
    where = describe(dsn)
    match error:
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
            why = "it refuses the user or the password; check both in database.url."
        case asyncpg.InvalidCatalogNameError():
            why = "there is no such database; create it, or correct the name in database.url."
        case asyncpg.TooManyConnectionsError():
            why = "it has no connection left; lower database.pool_max or raise max_connections."
        case asyncpg.CannotConnectNowError():
            why = "it is starting or stopping; try again in a moment."
        case TimeoutError():
            why = "no answer within database.connect_timeout_s; check host, port and firewall."
        case OSError():
            why = "nobody answers there; check that PostgreSQL runs, and host and port."
        case _:
            why = f"it answered with {type(error).__name__}; see its log."
    return f"Cannot use the database at {where}: {why}"
