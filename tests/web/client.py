"""A caller of the API: real HTTP, one key, JSON in and out."""

import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import orjson

from dispatcher.context import Context
from dispatcher.web.keys import create_key
from dispatcher.web.scopes import Scope


@dataclass(frozen=True)
class Answer:
    """What came back, read to the end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def kind(self) -> str:
        """The last part of a problem's type."""
        assert self.headers["Content-Type"].startswith("application/problem+json"), self.body
        return str(self.json["type"]).rpartition("/")[2]


@dataclass(frozen=True)
class Api:
    """Calls `base` with the headers given; `with_headers` makes a variation."""

    session: aiohttp.ClientSession
    base: str
    headers: Mapping[str, str]

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        sent = {**self.headers, **(headers or {})}
        data = None if raw is None else io.BytesIO(raw)
        if body is not None:
            data = io.BytesIO(orjson.dumps(body))
            sent.setdefault("Content-Type", "application/json")
        async with self.session.request(
            method, f"{self.base}{path}", data=data, headers=sent, allow_redirects=False
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.call("GET", path, headers=headers)

    async def update(self, body: object, key: str = "k1", **headers: str) -> Answer:
        return await self.call(
            "POST", "/v1/updates", body, headers={"Idempotency-Key": key, **headers}
        )

    async def patch(self, path: str, body: object, *, seen: str = "*") -> Answer:
        """A change to whichever version it is, or to the one that was `seen`."""
        return await self.call("PATCH", path, body, headers={"If-Match": seen})

    async def delete(self, path: str, *, seen: str = "*") -> Answer:
        return await self.call("DELETE", path, headers={"If-Match": seen})

    def bearing(self, token: str | None) -> "Api":
        return replace(self, headers={"Authorization": f"Bearer {token}"} if token else {})


async def key_with(ctx: Context, *scopes: Scope) -> str:
    async with ctx.pool.acquire() as conn:
        made = await create_key(conn, name="test", scopes=scopes, now=ctx.now())
    return made.text


@asynccontextmanager
async def events_of(
    api: Api, headers: Mapping[str, str] | None = None, *, path: str = "/v1/banner/stream"
) -> AsyncIterator["Events"]:
    """An open stream, of banners unless `path` says otherwise."""
    async with api.session.get(
        f"{api.base}{path}", headers={**api.headers, **(headers or {})}
    ) as response:
        yield Events(response)


class Events:
    """Events of a stream, one after the other; comments are passed over."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.last_id = ""

    async def next(self) -> tuple[str, Any]:
        """Name and data of the next event; ("end", None) when the stream has ended."""
        fields: dict[str, str] = {}
        while line := await self.response.content.readline():
            text = line.decode().rstrip("\n")
            if text:
                name, _, value = text.partition(": ")
                fields[name] = value
            elif "data" in fields:
                self.last_id = fields.get("id", self.last_id)
                return fields["event"], orjson.loads(fields["data"])
            else:
                fields = {}
        return "end", None
