"""Callbacks and inbound texts: authentic or refused, strict about their shape, each code a meaning."""

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.model import Fact, ForgedReceiptError, MalformedReceiptError, Reason, Receipt
from channels.twilio_callbacks import CallbackReader
from channels.twilio_codes import CODES, STATUSES, Then
from tests.channels.adapters import ACCOUNT_SID, AUTH_TOKEN, KEY, PHONE, PUBLIC_URL
from tests.channels.signing import twilio_headers

NOW = datetime(2026, 9, 21, 12, 0, tzinfo=UTC)
PREVIOUS_TOKEN = "previous-token"
READER = CallbackReader(ACCOUNT_SID, [AUTH_TOKEN, PREVIOUS_TOKEN], PUBLIC_URL)
SID = "SM" + "a" * 32
PATH = f"/v1/receipts/twilio?d={KEY}"
INBOUND = "/v1/receipts/twilio"
FORM = {
    "AccountSid": ACCOUNT_SID,
    "ApiVersion": "2010-04-01",
    "From": "+15550199",
    "MessageSid": SID,
    "MessageStatus": "delivered",
    "SmsSid": SID,
    "SmsStatus": "delivered",
    "To": PHONE,
}
STOP = {"AccountSid": ACCOUNT_SID, "Body": "STOP", "From": PHONE, "MessageSid": SID, "To": "+1555"}


def read(
    form: Mapping[str, str],
    *,
    path: str = PATH,
    token: str = AUTH_TOKEN,
    public_url: str = PUBLIC_URL,
) -> list[Receipt]:
    headers = twilio_headers(public_url + path, form, token)
    return READER.read(path, headers, urlencode(form).encode(), NOW)


def test_a_callback_becomes_a_receipt_with_our_key() -> None:
    assert read(FORM) == [
        Receipt(
            key=KEY, fact=Fact.DELIVERED, at=NOW, provider_ref=SID, detail="delivered", reason=None
        )
    ]


@pytest.mark.parametrize(
    ("status", "fact", "reason"),
    [
        ("accepted", Fact.QUEUED, None),
        ("scheduled", Fact.QUEUED, None),
        ("queued", Fact.QUEUED, None),
        ("sending", Fact.SENT, None),
        ("sent", Fact.SENT, None),
        ("delivered", Fact.DELIVERED, None),
        ("read", Fact.OPENED, None),
        ("undelivered", Fact.UNDELIVERED, Reason.PROVIDER_ERROR),
        ("failed", Fact.UNDELIVERED, Reason.PROVIDER_ERROR),
        ("partially_delivered", Fact.UNDELIVERED, Reason.PROVIDER_ERROR),
        ("canceled", Fact.DROPPED, Reason.PROVIDER_ERROR),
    ],
)
def test_every_status_has_its_fact(status: str, fact: Fact, reason: Reason | None) -> None:
    (receipt,) = read({**FORM, "MessageStatus": status})
    assert (receipt.fact, receipt.reason, receipt.suppress) == (fact, reason, False)


def test_the_table_above_walks_every_status() -> None:
    assert len(STATUSES) == 11


@pytest.mark.parametrize("status", ["receiving", "received", "invented"])
def test_statuses_that_say_nothing_about_a_delivery_are_passed_over(status: str) -> None:
    assert read({**FORM, "MessageStatus": status}) == []


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_tells_its_reason_and_whether_to_stop_using_the_address(code: int) -> None:
    (receipt,) = read({**FORM, "MessageStatus": "undelivered", "ErrorCode": str(code)})
    assert receipt.reason is CODES[code].reason
    assert receipt.suppress is (CODES[code].then is Then.NEVER_AGAIN)
    assert receipt.detail == f"undelivered twilio {code}"


def test_an_unknown_code_is_permanent_and_flagged() -> None:
    (receipt,) = read({**FORM, "MessageStatus": "failed", "ErrorCode": "39999"})
    assert receipt.reason is Reason.CONTENT_REFUSED
    assert receipt.detail == "failed twilio 39999 (not in our table)"


def test_an_odd_code_stays_out_of_the_detail() -> None:
    (receipt,) = read({**FORM, "MessageStatus": "failed", "ErrorCode": PHONE})
    assert (receipt.reason, receipt.detail) == (Reason.PROVIDER_ERROR, "failed")


def test_new_fields_blank_values_and_odd_characters_are_signed_too() -> None:
    assert read({**FORM, "RawDlrDoneDate": "2609211200", "Blank": "", "Name": "a+b & c=ü 😀"})


def test_the_previous_token_still_verifies_while_tokens_rotate() -> None:
    assert read(FORM, token=PREVIOUS_TOKEN)


def test_a_replay_says_the_same_again() -> None:
    assert read(FORM) == read(FORM)


# --- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "public_url",
    ["http://status.example.com", "https://evil.example", "https://STATUS.example.com"],
)
def test_only_the_configured_public_url_counts(public_url: str) -> None:
    with pytest.raises(ForgedReceiptError):
        read(FORM, public_url=public_url)


def test_a_host_header_changes_nothing() -> None:
    headers = twilio_headers(PUBLIC_URL + PATH, FORM, AUTH_TOKEN)
    headers |= {"Host": "evil.example", "X-Forwarded-Proto": "http"}
    assert READER.read(PATH, headers, urlencode(FORM).encode(), NOW)


def test_a_foreign_token_is_forged() -> None:
    with pytest.raises(ForgedReceiptError):
        read(FORM, token="another-token")


@pytest.mark.parametrize("signature", ["x", "\ud800", "A" * 28, "ü" * 28])
def test_a_made_up_signature_is_forged(signature: str) -> None:
    with pytest.raises(ForgedReceiptError):
        READER.read(PATH, {"X-Twilio-Signature": signature}, urlencode(FORM).encode(), NOW)


def test_a_url_the_library_cannot_take_apart_is_forged_and_no_crash() -> None:
    odd = "https://status.example.com:port"
    reader = CallbackReader(ACCOUNT_SID, [AUTH_TOKEN], odd)
    headers = twilio_headers(odd + PATH, FORM, "another-token")
    with pytest.raises(ForgedReceiptError):
        reader.read(PATH, headers, urlencode(FORM).encode(), NOW)


def test_naming_another_algorithm_does_not_choose_it() -> None:
    headers = twilio_headers(PUBLIC_URL + PATH, FORM, AUTH_TOKEN)
    headers["X-Twilio-Webhooks-Signature-Settings"] = "key=k,algorithm=HMAC_SHA256"
    assert READER.read(PATH, headers, urlencode(FORM).encode(), NOW)


def test_a_missing_signature_is_malformed() -> None:
    with pytest.raises(MalformedReceiptError):
        READER.read(PATH, {}, urlencode(FORM).encode(), NOW)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/receipts/twilio?",
        "/v1/receipts/twilio?d=",
        "/v1/receipts/twilio?d=short",
        f"/v1/receipts/twilio?d={'k' * 81}",
        f"/v1/receipts/twilio?d={KEY}&d={KEY}",
        f"/v1/receipts/twilio?d={KEY}&x=1",
        f"/v1/receipts/twilio?x=1&d={KEY}",
        f"/v1/receipts/twilio?D={KEY}",
        f"/v1/receipts/twilio?d={KEY}%20",
        f"/v1/receipts/twilio?d={KEY}\n",
        f"/v1/receipts/twilio?d={KEY}#rc=3",
        f"/v1/receipts/twilio/?d={KEY}",
        f"/v1/receipts/sendgrid?d={KEY}",
        f"//evil.example/v1/receipts/twilio?d={KEY}",
        "",
    ],
)
def test_a_url_we_never_gave_out_is_malformed_even_when_signed(path: str) -> None:
    with pytest.raises(MalformedReceiptError):
        read(FORM, path=path)


def test_a_field_moved_from_the_body_into_the_url_has_the_same_signature_and_is_refused() -> None:
    """URL and fields are glued together without a separator: `?d=1` + A=1 signs like `?d=1A1`."""
    short_key = KEY[:30]
    headers = twilio_headers(f"{PUBLIC_URL}/v1/receipts/twilio?d={short_key}", FORM, AUTH_TOKEN)
    moved_path = f"/v1/receipts/twilio?d={short_key}AccountSid{ACCOUNT_SID}"
    moved_form = {name: value for name, value in FORM.items() if name != "AccountSid"}
    assert headers == twilio_headers(PUBLIC_URL + moved_path, moved_form, AUTH_TOKEN)
    with pytest.raises(MalformedReceiptError):
        READER.read(moved_path, headers, urlencode(moved_form).encode(), NOW)


@pytest.mark.parametrize("missing", ["AccountSid", "MessageStatus"])
def test_a_missing_field_is_malformed(missing: str) -> None:
    with pytest.raises(MalformedReceiptError):
        read({name: value for name, value in FORM.items() if name != missing})


def test_another_account_is_malformed() -> None:
    with pytest.raises(MalformedReceiptError):
        read({**FORM, "AccountSid": "AC" + "f" * 32})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form",
        b"{}",
        b"a=1&a=1",
        b"AccountSid=x&AccountSid=y",
        b"a=%ff",
        b"\xff=1",
        b"a=1&&b=2",
        b"&".join(b"f%d=1" % number for number in range(200)),
    ],
)
def test_a_body_that_is_not_a_plain_form_is_malformed(body: bytes) -> None:
    headers = twilio_headers(PUBLIC_URL + PATH, {}, AUTH_TOKEN)
    with pytest.raises(MalformedReceiptError):
        READER.read(PATH, headers, body, NOW)


@given(body=st.binary(), headers=st.dictionaries(st.text(), st.text()), signature=st.text())
def test_no_bytes_and_headers_raise_anything_else(
    body: bytes, headers: dict[str, str], signature: str
) -> None:
    with pytest.raises((ForgedReceiptError, MalformedReceiptError)):
        READER.read(PATH, headers | {"X-Twilio-Signature": signature}, body, NOW)


@given(
    form=st.dictionaries(
        st.sampled_from([*FORM, "Body", "ErrorCode", "OptOutType"]), st.text(max_size=40)
    ),
    path=st.sampled_from([PATH, INBOUND]),
)
def test_authentic_forms_of_any_content_never_break_the_reader(
    form: dict[str, str], path: str
) -> None:
    try:
        receipts = read({**form, "AccountSid": ACCOUNT_SID}, path=path)
    except MalformedReceiptError:
        return
    assert all(len(receipt.detail) < 60 for receipt in receipts)


# --- people who text back -------------------------------------------------------------------------


def test_stop_suppresses_the_number_it_came_from() -> None:
    (receipt,) = read(STOP, path=INBOUND)
    assert receipt == Receipt(
        key="",
        fact=Fact.UNSUBSCRIBED,
        at=NOW,
        provider_ref=SID,
        detail="inbound stop",
        reason=Reason.OPTED_OUT,
        suppress=True,
        address=PHONE,
    )
    assert PHONE not in repr(receipt)


def test_start_lifts_it() -> None:
    (receipt,) = read({**STOP, "Body": "Start"}, path=INBOUND)
    assert (receipt.suppress, receipt.lift, receipt.address) == (False, True, PHONE)


def test_the_reading_of_the_provider_counts_too() -> None:
    (receipt,) = read({**STOP, "Body": "genoeg", "OptOutType": "STOP"}, path=INBOUND)
    assert receipt.suppress


def test_any_other_text_says_nothing() -> None:
    assert read({**STOP, "Body": "Thank you!"}, path=INBOUND) == []


@pytest.mark.parametrize(
    "form",
    [
        {**STOP, "From": "ada@customer.example"},
        {**STOP, "From": ""},
        {name: value for name, value in STOP.items() if name != "Body"},
    ],
)
def test_an_inbound_text_without_number_or_body_is_malformed(form: dict[str, str]) -> None:
    with pytest.raises(MalformedReceiptError):
        read(form, path=INBOUND)


def test_an_inbound_text_is_verified_like_a_callback() -> None:
    with pytest.raises(ForgedReceiptError):
        read(STOP, path=INBOUND, token="another-token")
