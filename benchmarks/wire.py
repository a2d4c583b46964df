"""HTTP/1.1 over bare sockets: requests prepared once, sent as they are. For load, never for the product."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
END_OF_HEAD: Final = b"\r\n\r\n"


def prepare(method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """The bytes of one request."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"{method} {target} HTTP/1.1", f"Host: {parts.netloc}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + END_OF_HEAD + body


def body_length(head: bytes | bytearray) -> int:
    """What a head says about its body; 0 when it says nothing."""
    found = _LENGTH.search(head)
    return int(found[1]) if found else 0


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[int, bytes]:
    """Send one prepared request; status and body of the answer."""
    writer.write(request)
    await writer.drain()
    head = await reader.readuntil(END_OF_HEAD)
    length = body_length(head)
    body = await reader.readexactly(length) if length else b""
    return int(head[9:12]), body


async def pour(url: str, requests: Iterable[bytes], *, connections: int) -> dict[int, int]:
    """Send all of them over some connections, one after the other on each; counts by status."""
    parts = urlsplit(url)
    left = iter(requests)
    counts: dict[int, int] = {}

    async def one() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            for request in left:
                status, _ = await exchange(reader, writer, request)
                counts[status] = counts.get(status, 0) + 1
        finally:
            writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(one())
    return counts


async def fetch(url: str, method: str = "GET", body: bytes = b"") -> bytes:
    """The body of one answer over a connection of its own."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        _, answer = await exchange(reader, writer, prepare(method, url, {}, body))
    finally:
        writer.close()
    return answer
