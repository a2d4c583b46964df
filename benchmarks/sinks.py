"""How much the sink takes when nothing else runs: a bench is only worth what its sink can take."""

import asyncio
import time

import orjson

from benchmarks.stand import Process
from benchmarks.wire import fetch, pour, prepare

CONNECTIONS = 4


async def mail_capacity(sink: Process, *, requests: int = 400) -> float:
    """Recipients a second, 1,000 a request of the size ours have."""
    one = {
        "to": [{"email": "person-123456@example.com"}],
        "headers": {"List-Unsubscribe": "x" * 120, "X-Entity-Ref-ID": "x" * 60},
        "substitutions": {f"-slot{n}-": "x" * 40 for n in range(5)},
        "custom_args": {"tidings": "x" * 36, "rq": "123456789012-1"},
    }
    body = orjson.dumps({"personalizations": [one] * 1000, "content": "x" * 20_000})
    request = prepare(
        "POST", f"{sink.url}/v3/mail/send", {"Content-Type": "application/json"}, body
    )
    return 1000 * await _rate(sink, request, requests)


async def text_capacity(sink: Process, *, requests: int = 20_000) -> float:
    """Requests a second, one text each."""
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": "Basic eDp5"}
    url = f"{sink.url}/2010-04-01/Accounts/AC{'5a' * 16}/Messages.json"
    return await _rate(sink, prepare("POST", url, headers, b"Body=" + b"x" * 400), requests)


async def _rate(sink: Process, request: bytes, requests: int) -> float:
    began = time.perf_counter()
    await pour(sink.url, (request for _ in range(requests)), connections=CONNECTIONS)
    seconds = time.perf_counter() - began
    await fetch(f"{sink.url}/clear", "POST")
    await asyncio.sleep(0)
    return requests / seconds
