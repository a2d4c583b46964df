"""Names are looked up in threads of their own: one that nobody answers for takes up nobody's place.

The threads that everybody shares are few, and providers and the database are looked up there too.
"""

import asyncio
import socket
import threading
from contextlib import suppress

from aiohttp.abc import AbstractResolver, ResolveResult


class OwnThreads(AbstractResolver):
    """The system's resolver. A thread that is waited for no longer ends when the system gives up."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Addresses of a name. Raises OSError where there are none."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[ResolveResult]] = loop.create_future()

        def ask() -> None:
            try:
                found, error = _addresses(host, port, family), None
            except (OSError, UnicodeError) as failed:
                found, error = [], failed
            with suppress(RuntimeError):  # the loop is closed: the process ends
                loop.call_soon_threadsafe(_tell, answer, found, error)

        threading.Thread(target=ask, name="webhook-name", daemon=True).start()
        return await answer

    async def close(self) -> None:
        """Nothing is kept."""


def _addresses(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    infos = socket.getaddrinfo(
        host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    )
    return [
        ResolveResult(
            hostname=host,
            host=str(address[0]),
            port=port,
            family=kind,
            proto=proto,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for kind, _, proto, _, address in infos
    ]


def _tell(
    answer: asyncio.Future[list[ResolveResult]], found: list[ResolveResult], error: Exception | None
) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(found)
    else:
        answer.set_exception(error)
