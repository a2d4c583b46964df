"""The link between the product and its database, in the hands of a test: passing, slow, dead, cut.

PostgreSQL sits at a Unix socket here; through the proxy it is reached by TCP, as in a real installation.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

_CHUNK = 64 * 1024
# Closing with this sends a reset at once, whatever is still to be sent.
_RESET = struct.pack("ii", 1, 0)


@dataclass(slots=True, eq=False)
class _Way:
    """One connection: two sockets and the two tasks that carry bytes between them."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    carriers: list[asyncio.Task[None]] = field(default_factory=list)

    def cut(self) -> None:
        for end in (self.client, self.server):
            with suppress(OSError):
                end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.transport.abort()


@dataclass(slots=True)
class Link:
    """A link to one database. `dsn` leads through it; `opened` counts connections ever begun."""

    _socket: str
    _database: str
    _user: str
    dsn: str = ""
    opened: int = 0
    _passing: asyncio.Event = field(default_factory=asyncio.Event)
    _ways: set[_Way] = field(default_factory=set)
    _delay_s: float = 0.0
    _losing: bool = False

    def freeze(self) -> None:
        """Nothing gets through any more, either way, and nobody is told: a half-open link.

        Connections can still be begun, but are never answered.
        """
        self._passing.clear()

    def thaw(self) -> None:
        """Everything goes on, also what was sent while nothing got through, however late."""
        self._passing.set()

    def lose(self) -> None:
        """What is under way, and whatever connection it belongs to, is gone; new ones get through."""
        for way in list(self._ways):
            way.cut()
        self._passing.set()

    def delay(self, seconds: float) -> None:
        """Each bundle of bytes takes that long, each way."""
        self._delay_s = seconds

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(self._socket)
        except OSError:
            writer.transport.abort()
            return
        way = _Way(writer, far_writer)
        self._ways.add(way)
        way.carriers += [
            asyncio.create_task(self._carry(reader, far_writer)),
            asyncio.create_task(self._carry(far_reader, writer)),
        ]
        # Whichever side ends first, the other learns of it once the link lets it through.
        await asyncio.wait(way.carriers, return_when=asyncio.FIRST_COMPLETED)
        self._ways.discard(way)
        for end in (way.client, way.server):
            end.close()
        for carrier in way.carriers:
            carrier.cancel()

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(_CHUNK):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                await self._passing.wait()
                target.write(data)
                await target.drain()
            await self._passing.wait()


@asynccontextmanager
async def link_to(database_url: str) -> AsyncIterator[Link]:
    """A link that passes everything, until the test says otherwise."""
    parts = urlsplit(database_url)
    folder = parse_qs(parts.query)["host"][0]
    link = Link(f"{folder}/.s.PGSQL.5432", parts.path, parts.username or "")
    link.thaw()
    server = await asyncio.start_server(link._serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    link.dsn = f"postgresql://{parts.username}@127.0.0.1:{port}{parts.path}?sslmode=disable"
    try:
        yield link
    finally:
        server.close()
        link.lose()
