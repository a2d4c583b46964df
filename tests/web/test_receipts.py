"""Providers' callbacks: verified over raw bytes and the public URL, stored before they are answered."""

import gzip
import json
import zlib
from urllib.parse import urlencode

import asyncpg
import orjson
import pytest
from hypothesis import strategies as st

from channels.model import ChannelKind
from dispatcher.context import Context
from dispatcher.ids import DeliveryKey
from dispatcher.rules.states import Purpose
from dispatcher.stages import track
from tests.flow.story import apply_receipts, contact, plan_out, post, seed, statuses, update
from tests.web.client import Answer, Api
from tests.web.conftest import TWILIO_SID, TWILIO_TOKEN
from tests.web.fuzz import examples
from tests.web.signing import sendgrid_headers, twilio_headers

SENDGRID = "/v1/receipts/sendgrid"
TWILIO = "/v1/receipts/twilio"


async def stored(ctx: Context) -> int:
    found: int = await ctx.pool.fetchval("select count(*) from receipt_batch")
    return found


async def keys_of(ctx: Context, kind: ChannelKind) -> tuple[int | None, list[str]]:
    """A planned dispatch and the keys that travel with its deliveries on one channel."""
    await seed(ctx, [contact(n, "small") for n in range(2)])
    accepted = await post(ctx, update(ctx))
    await plan_out(ctx, accepted)
    rows = await ctx.pool.fetch(
        "select endpoint_id from delivery where update_id = $1 and channel = $2 order by 1",
        accepted.update_id,
        kind.code,
    )
    return accepted.dispatch_id, [
        ctx.signer.delivery_key(
            DeliveryKey(accepted.update_id, kind.code, row["endpoint_id"], Purpose.NOTICE, 1)
        )
        for row in rows
    ]


def delivered(key: str) -> dict[str, object]:
    return {"event": "delivered", "tidings": key, "timestamp": 1763800000, "sg_message_id": "m1.x"}


async def test_signed_events_become_evidence(anonymous: Api, ctx: Context) -> None:
    dispatch_id, keys = await keys_of(ctx, ChannelKind.EMAIL)
    body = orjson.dumps([delivered(key) for key in keys])
    answer = await anonymous.call("POST", SENDGRID, raw=body, headers=sendgrid_headers(body))
    assert (answer.status, answer.body) == (204, b"")
    await apply_receipts(ctx)
    assert (await statuses(ctx, dispatch_id))["delivered"] == 2


async def test_a_text_that_arrived_is_proved_by_its_signed_url(
    anonymous: Api, ctx: Context
) -> None:
    dispatch_id, keys = await keys_of(ctx, ChannelKind.SMS)
    path = f"{TWILIO}?d={keys[0]}"
    form = {"AccountSid": TWILIO_SID, "MessageSid": "SM1", "MessageStatus": "delivered"}
    headers = twilio_headers(ctx.settings.public_url + path, form, TWILIO_TOKEN)
    answer = await anonymous.call("POST", path, raw=urlencode(form).encode(), headers=headers)
    assert answer.status == 204
    await apply_receipts(ctx)
    assert (await statuses(ctx, dispatch_id))["delivered"] == 1


async def test_stop_by_text_takes_effect_before_it_is_answered(
    anonymous: Api, ctx: Context
) -> None:
    await seed(ctx, [contact(1, "small")])
    form = {"AccountSid": TWILIO_SID, "MessageSid": "SM2", "From": "+12125550101", "Body": "STOP"}
    headers = twilio_headers(ctx.settings.public_url + TWILIO, form, TWILIO_TOKEN)
    answer = await anonymous.call("POST", TWILIO, raw=urlencode(form).encode(), headers=headers)
    assert answer.status == 204
    assert await ctx.pool.fetchval("select channel from suppression") == ChannelKind.SMS.code


@pytest.mark.parametrize("spoofed", ["X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded"])
async def test_the_signed_url_is_the_configured_one_whatever_proxies_say(
    anonymous: Api, spoofed: str
) -> None:
    form = {"AccountSid": TWILIO_SID, "MessageSid": "SM3", "From": "+12125550101", "Body": "hi"}
    raw = urlencode(form).encode()
    forged = twilio_headers(f"https://evil.example{TWILIO}", form, TWILIO_TOKEN)
    answer = await anonymous.call(
        "POST", TWILIO, raw=raw, headers={**forged, spoofed: "evil.example"}
    )
    assert (answer.status, answer.kind) == (403, "forged-receipt")


async def test_forged_receipts_are_refused_and_not_stored(anonymous: Api, ctx: Context) -> None:
    body = orjson.dumps([delivered("x" * 48)])
    headers = sendgrid_headers(body)
    for index in range(0, len(body), 7):
        bent = body[:index] + bytes([body[index] ^ 1]) + body[index + 1 :]
        answer = await anonymous.call("POST", SENDGRID, raw=bent, headers=headers)
        assert (answer.status, answer.kind) == (403, "forged-receipt")
    assert await stored(ctx) == 0


async def test_malformed_receipts_are_refused_with_constant_words(
    anonymous: Api, ctx: Context
) -> None:
    cases = [b"", b"{", b"{}", b"[1]", b'[{"event": 7}]', b"\xff"]
    bodies = set()
    for body in cases:
        headers = {**sendgrid_headers(body), "X-Request-Id": "same"}
        answer = await anonymous.call("POST", SENDGRID, raw=body, headers=headers)
        assert (answer.status, answer.kind) == (400, "malformed-receipt"), body
        bodies.add(answer.body)
    assert len(bodies) == 1
    assert (await anonymous.call("POST", SENDGRID, raw=b"[]")).kind == "malformed-receipt"
    assert await stored(ctx) == 0


async def test_keys_that_are_none_of_ours_are_answered_and_forgotten(
    anonymous: Api, ctx: Context
) -> None:
    body = orjson.dumps([delivered("A" * 48), {"event": "delivered"}])
    answer = await anonymous.call("POST", SENDGRID, raw=body, headers=sendgrid_headers(body))
    assert answer.status == 204
    await track.run(ctx, 0)
    assert await stored(ctx) == 0
    assert await ctx.pool.fetchval("select count(*) from receipt") == 0


@pytest.mark.parametrize("provider", ["x", "postmark", "..", "SENDGRID"])
async def test_a_provider_that_is_not_configured_is_not_found(
    anonymous: Api, provider: str
) -> None:
    answer = await anonymous.call("POST", f"/v1/receipts/{provider}", raw=b"[]")
    assert (answer.status, answer.kind) == (404, "not-found")


async def test_sendgrid_may_compress(anonymous: Api, ctx: Context) -> None:
    _, keys = await keys_of(ctx, ChannelKind.EMAIL)
    body = orjson.dumps([delivered(keys[0])])
    for encoding, packed in (("gzip", gzip.compress(body)), ("deflate", zlib.compress(body))):
        headers = {**sendgrid_headers(body), "Content-Encoding": encoding}
        answer = await anonymous.call("POST", SENDGRID, raw=packed, headers=headers)
        assert answer.status == 204, encoding
    assert await stored(ctx) == 2


async def test_bombs_and_damaged_archives_are_refused(anonymous: Api) -> None:
    bomb = gzip.compress(bytes(200 * 1024 * 1024), compresslevel=1)
    headers = {"Content-Encoding": "gzip"}
    answer = await anonymous.call("POST", SENDGRID, raw=bomb, headers=headers)
    assert (answer.status, answer.kind) == (413, "too-large")
    members = gzip.compress(b"[]") * 50_000
    for damaged in (b"\x1f\x8b", gzip.compress(b"[]")[:-4], b"not gzip", members):
        answer = await anonymous.call("POST", SENDGRID, raw=damaged, headers=headers)
        assert (answer.status, answer.kind) == (400, "malformed-request")
    twilio = await anonymous.call("POST", TWILIO, raw=b"x", headers=headers)
    assert (twilio.status, twilio.kind) == (415, "content-encoding")


async def test_eight_mebibytes_are_read_and_no_more(anonymous: Api) -> None:
    limit = 8 * 1024 * 1024
    fits = b"[" + b" " * (limit - 2) + b"]"
    answer = await anonymous.call("POST", SENDGRID, raw=fits, headers=sendgrid_headers(fits))
    assert answer.status == 204
    answer = await anonymous.call("POST", SENDGRID, raw=fits + b" ")
    assert (answer.status, answer.kind) == (413, "too-large")


async def test_without_storage_there_is_no_success(
    anonymous: Api, ctx: Context, cluster: str
) -> None:
    _, keys = await keys_of(ctx, ChannelKind.EMAIL)
    body = orjson.dumps([delivered(keys[0])])
    name = await ctx.pool.fetchval("select current_database()")
    admin = await asyncpg.connect(cluster, database="postgres")
    try:
        await admin.execute(f"alter database {name} allow_connections false")
        await admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", name
        )
        answer = await anonymous.call("POST", SENDGRID, raw=body, headers=sendgrid_headers(body))
        assert (answer.status, answer.kind) == (503, "unavailable")
        await admin.execute(f"alter database {name} allow_connections true")
    finally:
        await admin.close()
    again = await anonymous.call("POST", SENDGRID, raw=body, headers=sendgrid_headers(body))
    assert again.status == 204
    assert await stored(ctx) == 1


EVENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["event", "tidings", "timestamp", "type", "reason", "status"])
            | st.text(max_size=5),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)
FORMS = st.dictionaries(
    st.sampled_from(["AccountSid", "MessageStatus", "ErrorCode", "From", "Body", "OptOutType"]),
    st.text(max_size=30) | st.just(TWILIO_SID),
    max_size=6,
)


async def test_whatever_a_holder_of_the_key_signs_is_never_answered_with_500(
    anonymous: Api, ctx: Context
) -> None:
    _, keys = await keys_of(ctx, ChannelKind.EMAIL)
    seen: set[int] = set()

    async def send(path: str, body: bytes, headers: dict[str, str]) -> Answer:
        answer = await anonymous.call("POST", path, raw=body, headers=headers)
        seen.add(answer.status)
        return answer

    fuzz = examples(EVENTS, 150)
    for value in fuzz:
        event = value if isinstance(value, list) else [value]
        signed = [
            {"tidings": keys[0], **item} if isinstance(item, dict) else item for item in event
        ]
        body = json.dumps(signed).encode()  # unlike orjson, writes numbers of any size
        assert (await send(SENDGRID, body, sendgrid_headers(body))).status in {204, 400}
    for form in examples(FORMS, 100):
        for path in (TWILIO, f"{TWILIO}?d={keys[0]}", f"{TWILIO}?d=1&x=2"):
            headers = twilio_headers(ctx.settings.public_url + path, form, TWILIO_TOKEN)
            answer = await send(path, urlencode(form).encode(), headers)
            assert answer.status in {204, 400, 403}
    await apply_receipts(ctx)
    assert {204, 400} <= seen
