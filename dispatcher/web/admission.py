"""The door for keys: whoever shows one that was not good here before is counted by client address.

So invented keys cost nothing but this process's own time. What has been good in this process passes
uncounted: a flood from behind the same proxy or NAT holds up newcomers only, never an upstream at work.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from aiohttp import web

from dispatcher.web.answers import WebRefusedError
from dispatcher.web.boundary import CONTEXT, SPENT
from dispatcher.web.keys import Caller, admit
from dispatcher.web.limits import BUCKETS, client_address, of_refusals, spend

_MOST: Final = 20_000


@dataclass(slots=True)
class Acquaintances:
    """Headers whose key was good when it was last shown, as hashes; the `most` shown last are remembered."""

    most: int = _MOST
    _good: OrderedDict[bytes, None] = field(default_factory=OrderedDict)

    def __contains__(self, mark: bytes) -> bool:
        return mark in self._good

    def keep(self, mark: bytes) -> None:
        """It was good."""
        self._good[mark] = None
        self._good.move_to_end(mark)
        if len(self._good) > self.most:
            self._good.popitem(last=False)

    def forget(self, mark: bytes) -> None:
        """It is not good any more."""
        self._good.pop(mark, None)


ACQUAINTANCES: Final = web.AppKey("acquaintances", Acquaintances)


async def admitted(request: web.Request, *, wait_s: float) -> Caller:
    """Who calls; `wait_s`: how long to wait for a connection.

    Raises WebRefusedError: 401, or 429 before the database is asked.
    """
    ctx, known = request.app[CONTEXT], request.app[ACQUAINTANCES]
    authorization = request.headers.get("Authorization")
    mark = sha256((authorization or "").encode(errors="surrogateescape")).digest()
    stranger, refused = mark not in known, False
    quota, who, before = of_refusals(ctx.settings.api), client_address(request), request.get(SPENT)
    if stranger:
        # Counted before it is known to be wrong: a thousand at once are no way around it.
        spend(request, quota, who)
    try:
        async with ctx.pool.acquire(timeout=wait_s) as conn:
            caller = await admit(conn, authorization, now=ctx.now(), signer=ctx.signer)
    except WebRefusedError:
        refused = True
        known.forget(mark)
        raise
    finally:
        if stranger and not refused:
            request.app[BUCKETS].give_back(quota, who)
            request[SPENT] = before or {}
    known.keep(mark)
    return caller
