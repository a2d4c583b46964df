"""A provider that says yes: takes SendGrid's and Twilio's requests as fast as Python can.

A protocol of its own instead of an HTTP framework, so that it takes little of the two cores that the
product runs on. `GET /stats` tells what it got. With `--receipts` it posts one signed `delivered`
event for each recipient to the product.

    python -m benchmarks.sink --delay 0.05 --receipts http://127.0.0.1:8080
"""

import argparse
import asyncio
import re
import sys
import time
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, cast
from urllib.parse import urlsplit

import orjson
import uvloop
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from benchmarks.child import until_told
from benchmarks.wire import END_OF_HEAD, body_length, exchange, prepare

EVENTS_A_REQUEST: Final = 100
POSTERS: Final = 8
RECEIPTS_PATH: Final = "/v1/receipts/sendgrid"
MARK: Final = b"probe-"
MARK_LENGTH: Final = len(MARK) + 6
_KEYS: Final = re.compile(rb'"tidings":"([^"]+)"')
_OF_ONE: Final = b'"tidings":'
_SIGNING_KEY: Final = ec.derive_private_key(0x7469_6469_6E67_73, ec.SECP256R1())
_TIMESTAMP: Final = "1790000000"

PUBLIC_KEY: Final = b64encode(
    _SIGNING_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
).decode()

_MAIL_ANSWER: Final = b"HTTP/1.1 202 Accepted\r\nX-Message-Id: m%d\r\nContent-Length: 0\r\n\r\n"
_TEXT_ANSWER: Final = (
    b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 44\r\n\r\n"
    b'{"sid":"SM%032x"}'
)
_ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"


@dataclass(slots=True)
class Got:
    """What came in so far; `marks` tells when a marked message came first, in Unix time."""

    delay: float
    requests: int = 0
    recipients: int = 0
    receipts_ok: int = 0
    receipts_refused: int = 0
    receipts_waiting: int = 0
    marks: dict[str, float] = field(default_factory=dict)

    def answer(self) -> bytes:
        names = ("requests", "recipients", "receipts_ok", "receipts_refused", "receipts_waiting")
        body = orjson.dumps({"marks": self.marks, **{name: getattr(self, name) for name in names}})
        return _ANSWER % (len(body), body)

    def clear(self) -> None:
        self.requests = self.recipients = self.receipts_ok = self.receipts_refused = 0
        self.marks.clear()


class Provider(asyncio.Protocol):
    """One connection of the product; requests come one after the other."""

    def __init__(self, got: Got, receipts: "asyncio.Queue[bytes] | None") -> None:
        self._got = got
        self._receipts = receipts
        self._buffer = bytearray()
        self._whole = 0
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's by class.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._whole:
            end = self._buffer.find(END_OF_HEAD)
            if end < 0:
                return
            self._whole = end + len(END_OF_HEAD) + body_length(self._buffer[: end + 2])
        if len(self._buffer) < self._whole:
            return
        request = bytes(self._buffer[: self._whole])
        del self._buffer[: self._whole]
        self._whole = 0
        answer, late = self._answer(request)
        if late and self._got.delay:
            self._loop.call_later(self._got.delay, self._transport.write, answer)
        else:
            self._transport.write(answer)

    def _answer(self, request: bytes) -> tuple[bytes, bool]:
        got = self._got
        if request.startswith(b"GET /stats"):
            return got.answer(), False
        if request.startswith(b"POST /clear"):
            got.clear()
            return _ANSWER % (0, b""), False
        got.requests += 1
        # `find` skims a megabyte ten times faster than the pattern does.
        if (at := request.find(MARK)) >= 0:
            got.marks.setdefault(request[at : at + MARK_LENGTH].decode(), time.time())
        if request.startswith(b"POST /v3/"):
            got.recipients += request.count(_OF_ONE)
            if self._receipts is not None:
                self._receipts.put_nowait(request)
            return _MAIL_ANSWER % got.requests, True
        got.recipients += 1
        return _TEXT_ANSWER % got.requests, True


def delivered(keys: Sequence[bytes]) -> bytes:
    """The body of a webhook request that says these were delivered."""
    events = (
        b'{"email":"x@example.com","event":"delivered","timestamp":%d,"smtp-id":"<x>",'
        b'"sg_event_id":"%b","sg_message_id":"m1.x","response":"250 OK","tidings":"%b"}'
        % (time.time(), key, key)
        for key in keys
    )
    return b"[" + b",".join(events) + b"]"


def webhook(url: str, body: bytes) -> bytes:
    """The whole signed request."""
    signature = _SIGNING_KEY.sign(_TIMESTAMP.encode() + body, ec.ECDSA(hashes.SHA256()))
    headers = {
        "Content-Type": "application/json",
        "X-Twilio-Email-Event-Webhook-Signature": b64encode(signature).decode(),
        "X-Twilio-Email-Event-Webhook-Timestamp": _TIMESTAMP,
    }
    return prepare("POST", url + RECEIPTS_PATH, headers, body)


async def _post(got: Got, url: str, mails: "asyncio.Queue[bytes]") -> None:
    """Tell the product what became of its mails, for ever."""
    parts = urlsplit(url)
    # The web process starts after the sink, so the first mail is waited for before connecting.
    keys = _KEYS.findall(await mails.get())
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    while True:
        for first in range(0, len(keys), EVENTS_A_REQUEST):
            batch = keys[first : first + EVENTS_A_REQUEST]
            status, _ = await exchange(reader, writer, webhook(url, delivered(batch)))
            if status == 204:
                got.receipts_ok += len(batch)
            else:
                got.receipts_refused += len(batch)
        got.receipts_waiting = mails.qsize()
        keys = _KEYS.findall(await mails.get())


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--receipts", default="", help="where Tidings listens")
    options = parser.parse_args()
    loop = asyncio.get_running_loop()
    got = Got(options.delay)
    mails: asyncio.Queue[bytes] | None = asyncio.Queue() if options.receipts else None
    server = await loop.create_server(lambda: Provider(got, mails), "127.0.0.1", 0)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    posting: list[asyncio.Task[None]] = []
    if mails is not None:
        posting = [asyncio.create_task(_post(got, options.receipts, mails)) for _ in range(POSTERS)]
    await until_told()
    for task in posting:
        task.cancel()
    server.close()


if __name__ == "__main__":
    uvloop.run(main())
