"""Logs are an event word and fields, and identify nobody."""

import asyncio
import io
import json
import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from aiohttp import web

from channels.registry import TALKATIVE_LOGGERS
from dispatcher.log import configure_logging, masked_text


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    stream = io.StringIO()
    configure_logging(stream=stream)
    yield stream
    structlog.reset_defaults()
    root.setLevel(before[0])
    root.handlers[:] = before[1]


def last(lines: io.StringIO) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(lines.getvalue().splitlines()[-1])
    return parsed


def test_a_line_is_json_with_event_level_time_and_fields(lines: io.StringIO) -> None:
    structlog.get_logger().info("slice.sent", slice_id=7, took_s=0.5)
    line = last(lines)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "slice.sent", "level": "info", "slice_id": 7, "took_s": 0.5}


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("550 no user joe.o'neil+x@mail.example.com here", "550 no user [email] here"),
        ("To number +15550100999 is not valid", "To number [phone] is not valid"),
        ("call +1 (555) 010-0999 now", "call [phone] now"),
        ("To=%2B15550100999", "To=[phone]"),
        ("postgresql://joe:hunter2@db:5432/x", "postgresql://[secret]@db:5432/x"),
        ("Authorization: Bearer abcdefgh12345678", "Authorization: [secret]"),
        ("key SG.abcdefghijkl.mnopqrstuvwx!", "key [secret]!"),
        ("GET /u/abcDEF123-_x?y=1", "GET /u/[secret]?y=1"),
        ("wrong secret whsec_MfKQ9r8GKYqrTwjUPD8I=", "wrong secret [secret]"),
        ("GET /x?access_token=a-b.c&n=1", "GET /x?access_token=[secret]&n=1"),
        ("DB_PASSWORD=a,b", "DB_PASSWORD=[secret],b"),
        ("to joe%40mail.example.com", "to [email]"),
        ("token eyJhbGciOi.eyJzdWIi.c2lnbmF0dXJl", "token [secret]"),
    ],
)
def test_addresses_numbers_and_secrets_are_masked(text: str, masked: str) -> None:
    assert masked_text(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T06:36:53.824403Z",
        "slice 1234567890123",
        "3 + 4 = 7",
        "a@b",
        "1.5e+10",
        "tokens = 7",
        "a=b&c=d",
    ],
)
def test_ordinary_words_and_numbers_stay(text: str) -> None:
    assert masked_text(text) == text


def test_nothing_personal_gets_out_through_any_door(lines: io.StringIO) -> None:
    log = structlog.get_logger()
    log.info("a.b", to="joe@example.com", many=[{"to": ("+15550100999",)}], api_key="k", other=b"x")
    logging.getLogger("vendor").warning("bounced %s", "joe@example.com")
    logging.getLogger("vendor").warning("bounced", extra={"auth_token": "hunter2"})
    try:
        int("joe@example.com")
    except ValueError:
        log.exception("a.failed")
    text = lines.getvalue()
    assert len(text.splitlines()) == 4
    assert "[email]" in text
    for personal in ("joe", "5550100999", '"k"', "hunter2"):
        assert personal not in text


@pytest.mark.parametrize(
    "vendor", [*TALKATIVE_LOGGERS, "twilio.async_http_client", "pgqueuer", "urllib3"]
)
def test_vendors_are_heard_from_warning_on(lines: io.StringIO, vendor: str) -> None:
    logging.getLogger(vendor).info("request body")
    assert lines.getvalue() == ""
    logging.getLogger(vendor).warning("trouble")
    assert last(lines)["event"] == "trouble"


@pytest.mark.parametrize(
    "request_head",
    [
        b"POST /v1/intake/src_x/hunter2 HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/intake/src_x/hunter2 HTTP/hunter2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nAuthor ization: hunter2\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_one_line_in_the_log_and_nothing_of_what_it_said(
    lines: io.StringIO, request_head: bytes
) -> None:
    runner = web.AppRunner(web.Application())
    await runner.setup()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        await web.SockSite(runner, listening).start()
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        writer.write(request_head)
        assert b" 400 " in (await reader.read()).splitlines()[0]
        writer.close()
        await writer.wait_closed()
        await runner.cleanup()
    (line,) = lines.getvalue().splitlines()
    assert (last(lines)["event"], last(lines)["level"]) == ("http.malformed", "info")
    assert "hunter2" not in line
