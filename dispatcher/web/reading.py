"""Bodies and queries into models; every refusal names the field and never repeats its value."""

import asyncio
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from dispatcher.rules.problem import FieldProblem
from dispatcher.web.answers import JSON, WebRefusedError
from dispatcher.web.exactly import mistaken_in
from dispatcher.web.findings import in_words

BODY_LIMIT: Final = 1024 * 1024
RECEIPT_LIMIT: Final = 8 * 1024 * 1024
BODY_TIMEOUT_S: Final = 30.0
_DEPTH_LIMIT: Final = 20
_PLAIN: Final = "identity"
_ENCODINGS: Final = frozenset({"gzip", "deflate"})
_GZIP_OR_ZLIB: Final = 32  # zlib's flag: find out which of the two

B = TypeVar("B", bound=BaseModel)


class NoQuery(BaseModel):
    """A route without query parameters: any is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


async def read_bytes(
    request: web.Request, *, limit: int = BODY_LIMIT, may_be_compressed: bool = False
) -> bytes:
    """The raw body. Refuses with 408, 413 or 415 before it has read more than it must."""
    encoding = request.headers.get("Content-Encoding", _PLAIN).lower()
    if encoding != _PLAIN and not (may_be_compressed and encoding in _ENCODINGS):
        raise WebRefusedError("content-encoding")
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > limit:
                    raise _too_large(limit)
    except TimeoutError:
        raise WebRefusedError("timeout") from None
    return bytes(body) if encoding == _PLAIN else _decompressed(bytes(body), limit)


def _decompressed(body: bytes, limit: int) -> bytes:
    """One gzip or zlib member; more of them are how little bodies keep a machine busy."""
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | _GZIP_OR_ZLIB)
    try:
        plain = unpacker.decompress(body, limit + 1)
    except zlib.error:
        raise WebRefusedError("malformed-request") from None
    if len(plain) > limit:
        raise _too_large(limit)
    if not unpacker.eof or unpacker.unused_data:
        raise WebRefusedError("malformed-request")
    return plain


def _too_large(limit: int) -> WebRefusedError:
    return WebRefusedError("too-large", f"At most {limit} bytes are accepted here")


async def read_json(request: web.Request) -> Any:
    """The body as JSON values that PostgreSQL can store."""
    if request.content_type != JSON:
        raise WebRefusedError("wrong-content-type")
    raw = await read_bytes(request)
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise WebRefusedError("malformed-json") from None
    refuse_unstorable(value)
    return value


def as_model(value: object, model: type[B]) -> B:
    """The value as `model`; 422 with one JSON pointer per finding."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems = in_words(_findings(error), model, value)
        raise WebRefusedError("invalid-request", problems=problems) from None


def as_body(value: object, model: type[B]) -> B:
    """As `as_model`, and nothing is taken for what it is not: 0 for false, a number for a moment."""
    body = as_model(value, model)
    if mistaken := list(mistaken_in(value, model)):
        problems = [FieldProblem(pointer(path), code, detail) for path, code, detail in mistaken]
        raise WebRefusedError("invalid-request", problems=problems)
    return body


def read_query(request: web.Request, model: type[B]) -> B:
    """The query parameters as `model`; each may occur once."""
    query = request.query
    twice = [name for name in query if len(query.getall(name)) > 1]
    if twice:
        raise WebRefusedError(
            "invalid-query",
            problems=[
                FieldProblem(f"?{name}", "given_twice", "This parameter may occur once")
                for name in dict.fromkeys(twice)
            ],
        )
    if any("\x00" in value for value in query.values()):
        raise WebRefusedError("invalid-query", "A parameter contains the character U+0000")
    try:
        return model.model_validate(dict(query))
    except ValidationError as error:
        problems = [
            # One of several values with commas between is still a matter of its parameter.
            FieldProblem(f"?{item.pointer.split('/')[1]}", item.code, item.detail)
            for item in in_words(_findings(error), model, dict(query), what="parameter")
        ]
        raise WebRefusedError("invalid-query", problems=problems) from None


def _findings(error: ValidationError) -> Iterator[FieldProblem]:
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        detail = item["msg"].removeprefix("Value error, ")
        yield FieldProblem(pointer(item["loc"]), item["type"], detail)


def pointer(path: Sequence[str | int]) -> str:
    """RFC 6901: `/facts/workaround/steps/0`."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)


def refuse_unstorable(value: object) -> None:
    """Refuses JSON values that PostgreSQL cannot store: it has no U+0000 in texts.

    What is nested deeper than any model is an attack.
    """
    waiting: list[tuple[tuple[str | int, ...], object]] = [((), value)]
    while waiting:
        path, item = waiting.pop()
        if len(path) > _DEPTH_LIMIT:
            raise WebRefusedError("malformed-json", f"Nested deeper than {_DEPTH_LIMIT} levels")
        if isinstance(item, str) and "\x00" in item:
            detail = "The character U+0000 cannot be stored"
            raise WebRefusedError(
                "invalid-request", problems=[FieldProblem(pointer(path), "nul_character", detail)]
            )
        if isinstance(item, dict):
            if any("\x00" in key for key in item):
                raise WebRefusedError("invalid-request", "A field name contains U+0000")
            waiting += [((*path, key), inner) for key, inner in item.items()]
        elif isinstance(item, list):
            waiting += [((*path, place), inner) for place, inner in enumerate(item)]
