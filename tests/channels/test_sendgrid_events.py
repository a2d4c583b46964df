"""Events: authentic or refused, each meaning in a table, and no input that breaks the reader."""

from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.model import Fact, ForgedReceiptError, MalformedReceiptError, Reason, Receipt
from channels.sendgrid_events import BOUNCES, DROPS, EVENTS, EventReader
from tests.channels.signing import EventSigner

NOW = datetime(2026, 9, 21, 12, 0, tzinfo=UTC)
SIGNER = EventSigner()
READER = EventReader([SIGNER.public_key])
EVENT = {
    "email": "ada@customer.example",
    "timestamp": 1789990000,
    "event": "delivered",
    "sg_message_id": "msg-1.recvd-5f-1-2.0",
    "sg_event_id": "e1",
    "tidings": "k" * 40,
    "rq": "rq-7",
    "response": "250 OK for ada@customer.example",
}


def read(body: bytes, reader: EventReader = READER) -> list[Receipt]:
    return reader.read(SIGNER.headers(body), body, NOW)


def read_one(**fields: object) -> Receipt | None:
    receipts = read(orjson.dumps([{**EVENT, **fields}]))
    return receipts[0] if receipts else None


def test_an_event_becomes_a_receipt_with_our_key_and_the_id_of_the_request() -> None:
    assert read_one() == Receipt(
        key="k" * 40,
        fact=Fact.DELIVERED,
        at=datetime.fromtimestamp(1789990000, UTC),
        provider_ref="msg-1",
        detail="delivered",
    )


@pytest.mark.parametrize(
    ("fields", "fact", "reason", "suppress"),
    [
        ({"event": "processed"}, Fact.QUEUED, None, False),
        ({"event": "deferred", "attempt": "3"}, Fact.DEFERRED, Reason.UNREACHABLE_NOW, False),
        ({"event": "delivered"}, Fact.DELIVERED, None, False),
        ({"event": "open"}, Fact.OPENED, None, False),
        ({"event": "click", "url": "https://x.example"}, Fact.CLICKED, None, False),
        ({"event": "spamreport"}, Fact.COMPLAINED, Reason.COMPLAINED, True),
        ({"event": "unsubscribe"}, Fact.UNSUBSCRIBED, Reason.OPTED_OUT, True),
        ({"event": "group_unsubscribe"}, Fact.UNSUBSCRIBED, Reason.OPTED_OUT, True),
        ({"event": "group_resubscribe"}, Fact.UNSUBSCRIBED, None, False),
        (
            {"event": "bounce", "type": "bounce"},
            Fact.BOUNCED_HARD,
            Reason.UNKNOWN_ADDRESS,
            True,
        ),
        ({"event": "bounce", "type": "blocked"}, Fact.UNDELIVERED, Reason.BLOCKED, False),
        ({"event": "bounce"}, Fact.BOUNCED_HARD, Reason.UNKNOWN_ADDRESS, False),
        ({"event": "bounce", "type": "new"}, Fact.BOUNCED_HARD, Reason.UNKNOWN_ADDRESS, False),
        (
            {"event": "dropped", "reason": "Bounced Address"},
            Fact.DROPPED,
            Reason.UNKNOWN_ADDRESS,
            True,
        ),
        (
            {"event": "dropped", "reason": "Unsubscribed Address"},
            Fact.DROPPED,
            Reason.OPTED_OUT,
            True,
        ),
        (
            {"event": "dropped", "reason": "Spam Reporting Address"},
            Fact.DROPPED,
            Reason.COMPLAINED,
            True,
        ),
        ({"event": "dropped", "reason": "Invalid"}, Fact.DROPPED, Reason.INVALID_ADDRESS, True),
        ({"event": "dropped", "reason": "Spam Content"}, Fact.DROPPED, Reason.FILTERED, False),
        (
            {"event": "dropped", "reason": "Invalid SMTPAPI header"},
            Fact.DROPPED,
            Reason.CONTENT_REFUSED,
            False,
        ),
        (
            {"event": "dropped", "reason": "Recipient List over Package Quota"},
            Fact.DROPPED,
            Reason.ACCOUNT_PROBLEM,
            False,
        ),
        ({"event": "dropped", "reason": "news"}, Fact.DROPPED, Reason.CONTENT_REFUSED, False),
    ],
)
def test_every_event_has_its_meaning(
    fields: dict[str, str], fact: Fact, reason: Reason | None, suppress: object
) -> None:
    receipt = read_one(**fields)
    assert receipt is not None
    assert (receipt.fact, receipt.reason, receipt.suppress) == (fact, reason, suppress)
    assert receipt.lift is (fields["event"] == "group_resubscribe")


def test_the_table_above_walks_every_row() -> None:
    assert len(EVENTS) + len(BOUNCES) + len(DROPS) == 18


@pytest.mark.parametrize(
    "fields",
    [{"event": "invented"}, {"event": ""}, {"tidings": ""}, {"tidings": "a b"}, {"tidings": "ü"}],
)
def test_unknown_events_and_events_without_a_key_of_ours_are_passed_over(
    fields: dict[str, str],
) -> None:
    assert read_one(**fields) is None


def test_an_event_of_another_application_is_passed_over() -> None:
    foreign = {name: value for name, value in EVENT.items() if name != "tidings"}
    assert len(read(orjson.dumps([foreign, EVENT, foreign]))) == 1


def test_missing_fields_are_normal() -> None:
    body = orjson.dumps([{"event": "bounce", "tidings": "k1"}])
    (receipt,) = read(body)
    assert (receipt.at, receipt.provider_ref) == (NOW, "")


def test_details_hold_codes_and_no_foreign_sentence() -> None:
    receipt = read_one(
        event="bounce",
        type="bounce",
        status="5.1.1",
        bounce_classification="Invalid Address",
        reason="550 5.1.1 <ada@customer.example> unknown",
    )
    assert receipt is not None
    assert receipt.detail == "bounce 5.1.1 bounce Invalid Address"


def test_odd_words_stay_out_of_details() -> None:
    receipt = read_one(
        event="bounce",
        type="ada@customer.example",
        status="ada@customer.example",
        bounce_classification="ada@customer.example",
        sg_message_id="ada@customer.example",
    )
    assert receipt is not None
    assert (receipt.detail, receipt.provider_ref) == ("bounce", "")


def test_an_open_by_a_machine_says_so() -> None:
    receipt = read_one(event="open", sg_machine_open=True)
    assert receipt is not None
    assert receipt.detail == "open machine"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"{}",
        b'"text"',
        b"[1]",
        b"[null]",
        b"[[]]",
        b'[{"event": 1}]',
        b'[{"event": "open", "tidings": {}}]',
        b'[{"event": "open", "tidings": "k", "timestamp": "now"}]',
        b'[{"event": "open", "tidings": "k", "timestamp": true}]',
        b'[{"event": "open", "tidings": "k", "timestamp": 1.5}]',
        b'[{"event": "open", "tidings": "k", "timestamp": 99999999999999999}]',
        b"[" * 100_000,
        b"[" + b"{}," * 20_001 + b"{}]",
    ],
)
def test_authentic_nonsense_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedReceiptError):
        read(body)


def test_bytes_that_are_not_text_are_malformed() -> None:
    with pytest.raises(MalformedReceiptError):
        read(b"[\xff]")


@pytest.mark.parametrize("missing", ["Signature", "Timestamp"])
def test_a_missing_header_is_malformed(missing: str) -> None:
    headers = {
        name: value for name, value in SIGNER.headers(b"[]").items() if not name.endswith(missing)
    }
    with pytest.raises(MalformedReceiptError):
        READER.read(headers, b"[]", NOW)


BODY = orjson.dumps([EVENT]) + b"\r\n"


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        (BODY.rstrip(), {}),
        (orjson.dumps(orjson.loads(BODY), option=orjson.OPT_INDENT_2), {}),
        (BODY, {"X-Twilio-Email-Event-Webhook-Timestamp": "1790000001"}),
        (BODY, {"X-Twilio-Email-Event-Webhook-Signature": "bm90IGEgc2lnbmF0dXJl"}),
        (BODY, {"X-Twilio-Email-Event-Webhook-Signature": "%%%"}),
        (BODY, {"X-Twilio-Email-Event-Webhook-Signature": "\ud800"}),
        (BODY, {"X-Twilio-Email-Event-Webhook-Timestamp": "\ud800"}),
        (BODY, EventSigner().headers(BODY)),
    ],
)
def test_anything_changed_on_the_way_is_forged(body: bytes, changed: dict[str, str]) -> None:
    assert READER.read(SIGNER.headers(BODY), BODY, NOW)
    with pytest.raises(ForgedReceiptError):
        READER.read({**SIGNER.headers(BODY), **changed}, body, NOW)


def test_the_previous_key_still_verifies_while_keys_rotate() -> None:
    new = EventSigner()
    reader = EventReader([new.public_key, SIGNER.public_key])
    assert reader.read(SIGNER.headers(BODY), BODY, NOW)
    assert reader.read(new.headers(BODY), BODY, NOW)


def test_without_a_key_every_event_is_forged() -> None:
    with pytest.raises(ForgedReceiptError):
        read(BODY, EventReader([]))


def test_header_names_are_found_in_any_case() -> None:
    headers = {name.upper(): value for name, value in SIGNER.headers(BODY).items()}
    assert READER.read(headers, BODY, NOW)


def test_a_replay_says_the_same_again() -> None:
    assert read(BODY) == read(BODY)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
NAMES = st.sampled_from([*EVENT, "type", "status", "reason", "bounce_classification"])


@given(events=st.lists(st.dictionaries(NAMES, JSON | st.sampled_from([*EVENTS, "k1"]))))
def test_authentic_events_of_any_shape_never_break_the_reader(events: object) -> None:
    try:
        body = orjson.dumps(events)
    except TypeError:  # an integer no provider could have written either
        return
    try:
        receipts = read(body)
    except MalformedReceiptError:
        return
    assert "@" not in "".join(receipt.detail for receipt in receipts)


@given(body=st.binary(), headers=st.dictionaries(st.text(), st.text()), signature=st.text())
def test_no_bytes_and_headers_raise_anything_else(
    body: bytes, headers: dict[str, str], signature: str
) -> None:
    headers |= {"X-Twilio-Email-Event-Webhook-Signature": signature}
    headers |= {"X-Twilio-Email-Event-Webhook-Timestamp": signature[::-1]}
    with pytest.raises((ForgedReceiptError, MalformedReceiptError)):
        READER.read(headers, body, NOW)
