"""The sandbox's own HTTP interface: faults, ledger, inbound texts."""

from dataclasses import asdict
from http import HTTPStatus
from typing import Any, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from dispatcher.sandbox.faults import FAULTS
from dispatcher.sandbox.ledger import Provider
from dispatcher.sandbox.servers import Servers

SERVERS = web.AppKey("servers", Servers)

_MOST_ROWS = 100_000
_ROWS_PER_WRITE = 2_000
_MOST_MESSAGES = 1_000

B = TypeVar("B", bound=BaseModel)


class _Inbound(BaseModel):
    """A text from a person (`from`) to one of the product's numbers (`to`)."""

    model_config = ConfigDict(extra="forbid")

    person: str = Field(alias="from", pattern=r"^\+[1-9]\d{6,14}$")
    to: str = Field(min_length=1, max_length=34)
    body: str = Field(max_length=1_600)


class _Receipts(BaseModel):
    """Where the product listens; see `SandboxSettings.receipts_url` and `public_url`."""

    model_config = ConfigDict(extra="forbid")

    url: str | None = None
    public_url: str | None = None

    @field_validator("url", "public_url")
    @classmethod
    def _bare(cls, url: str | None) -> str | None:
        return url.rstrip("/") if url else None


def add_routes(app: web.Application) -> None:
    """Everything below /sandbox that is not a page."""
    app.router.add_routes(
        [
            web.get("/sandbox/faults", _list_faults),
            web.post("/sandbox/faults", _add_faults),
            web.delete("/sandbox/faults", _clear_faults),
            web.delete(r"/sandbox/faults/{id:\d+}", _clear_fault),
            web.get("/sandbox/ledger", _ledger),
            web.get("/sandbox/messages", _messages),
            web.get("/sandbox/stats", _stats),
            web.post("/sandbox/inbound", _inbound),
            web.post("/sandbox/receipts", _receipts),
            web.post("/sandbox/reset", _reset),
        ]
    )


async def _list_faults(request: web.Request) -> web.Response:
    switches = request.app[SERVERS].world.faults.active()
    return _json([switch.model_dump(mode="json") for switch in switches])


async def _add_faults(request: web.Request) -> web.Response:
    """One fault or a list; none is switched on when one of them is malformed."""
    given = await _json_body(request)
    try:
        faults = FAULTS.validate_python(given if isinstance(given, list) else [given])
    except ValidationError as error:
        raise _unprocessable(error) from error
    board = request.app[SERVERS].world.faults
    switches = [board.add(fault) for fault in faults]
    return _json([switch.model_dump(mode="json") for switch in switches], HTTPStatus.CREATED)


async def _clear_faults(request: web.Request) -> web.Response:
    return _json({"cleared": request.app[SERVERS].world.faults.clear()})


async def _clear_fault(request: web.Request) -> web.Response:
    number = int(request.match_info["id"])
    cleared = request.app[SERVERS].world.faults.clear(number)
    if not cleared:
        raise web.HTTPNotFound(text=f"There is no fault {number}.")
    return _json({"cleared": cleared})


async def _ledger(request: web.Request) -> web.StreamResponse:
    """JSON Lines, oldest first; the `seq` of the last line is the next `after`."""
    after = _number(request, "after", 0)
    limit = min(_number(request, "limit", 10_000), _MOST_ROWS)
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    lines: list[bytes] = []
    for row in request.app[SERVERS].world.ledger.rows(after, limit):
        lines.append(orjson.dumps(row))
        if len(lines) == _ROWS_PER_WRITE:
            await response.write(b"\n".join(lines) + b"\n")
            lines.clear()
    if lines:
        await response.write(b"\n".join(lines) + b"\n")
    await response.write_eof()
    return response


async def _messages(request: web.Request) -> web.Response:
    """Bodies still kept, newest first."""
    try:
        provider = Provider(request.query.get("provider", ""))
    except ValueError as error:
        raise web.HTTPBadRequest(text="provider must be sendgrid, twilio or x.") from error
    limit = min(_number(request, "limit", 100), _MOST_MESSAGES)
    entries = request.app[SERVERS].world.ledger.entries(
        provider,
        to=request.query.get("to", ""),
        key=request.query.get("key", ""),
        limit=limit,
    )
    return _json([asdict(entry) | {"body_hash": entry.body_hash} for entry in entries])


async def _stats(request: web.Request) -> web.Response:
    servers = request.app[SERVERS]
    ledger = servers.world.ledger
    return _json(
        {
            "rows": len(ledger),
            "accepted": {name.value: count for name, count in ledger.accepted.items()},
            "duplicates": {name.value: count for name, count in ledger.duplicates.items()},
            "pending_receipts": servers.pending,
            "faults": len(servers.world.faults.active()),
        }
    )


async def _inbound(request: web.Request) -> web.Response:
    text = await _model(request, _Inbound)
    status = await request.app[SERVERS].twilio.receive(text.person, text.to, text.body)
    return _json({"webhook_status": status})


async def _receipts(request: web.Request) -> web.Response:
    given = await _model(request, _Receipts)
    address = request.app[SERVERS].world.receipts
    address.url, address.public = given.url, given.public_url
    return _json({"url": address.url, "public_url": address.public})


async def _reset(request: web.Request) -> web.Response:
    request.app[SERVERS].reset()
    return _json({})


async def _model(request: web.Request, model: type[B]) -> B:
    given = await _json_body(request)
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise _unprocessable(error) from error


async def _json_body(request: web.Request) -> Any:
    try:
        return orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise web.HTTPBadRequest(text=f"The body is not JSON: {error}.") from error


def _unprocessable(error: ValidationError) -> web.HTTPUnprocessableEntity:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return web.HTTPUnprocessableEntity(
        text=orjson.dumps({"errors": details}).decode(), content_type="application/json"
    )


def _number(request: web.Request, name: str, otherwise: int) -> int:
    value = request.query.get(name, str(otherwise))
    if not value.isdecimal():
        raise web.HTTPBadRequest(text=f"{name} must be a whole number.")
    return int(value)


def _json(value: object, status: int = HTTPStatus.OK) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")
