"""`GET /v1/openapi.json` and the page that shows it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from aiohttp import web

from dispatcher.web.answers import JSON
from dispatcher.web.encodings import Unchanging
from dispatcher.web.openapi.document import describe, written
from dispatcher.web.routing import Plain, Route

_FRESH_S: Final = 300


@dataclass(frozen=True)
class Description:
    """The description of these routes, made when it is first asked for."""

    routes: Sequence[Route[Any, Any]] = field(repr=False)

    @cached_property
    def whole(self) -> Unchanging:
        """The document as JSON; takes some tenths of a second the first time."""
        return Unchanging(written(describe(self.routes)), JSON)


DESCRIPTION: Final = web.AppKey("description", Description)


async def get_openapi(call: Plain) -> web.Response:
    """This description: OpenAPI 3.1, for generators of clients and for the page at /docs."""
    description = call.request.app[DESCRIPTION]
    whole = await asyncio.to_thread(lambda: description.whole)
    return await whole.answer(call.request, fresh_s=_FRESH_S)
