from datetime import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from segments.addresses import address_hash, normalise_phone
from segments.model import Channel
from segments.records import AccountIn, ComponentIn, ContactIn, problems_of

_KEY = b"k" * 32


def contact(**fields: Any) -> ContactIn:
    return ContactIn.model_validate(
        {"external_id": "p1", "account": "acme", "name": "Ada", **fields}
    )


def complaints(model: type[AccountIn | ContactIn | ComponentIn], **fields: Any) -> dict[str, str]:
    with pytest.raises(ValidationError) as refused:
        model.model_validate(fields)
    return {problem.field: problem.reason for problem in problems_of(refused.value, 7)}


@pytest.mark.parametrize(
    ("given_as", "kept_as"),
    [
        ("+1 202 555 0123", "+12025550123"),
        ("+1 (555) 010-0123", "+15550100123"),
        ("+15005550006", "+15005550006"),
        ("+49 1511 2345678", "+4915112345678"),
    ],
)
def test_numbers_are_kept_in_e164_and_fictional_ones_are_welcome(
    given_as: str, kept_as: str
) -> None:
    assert contact(phone=given_as).phone == kept_as


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"phone": "0202 5550123"}, "phone", "international form"),
        ({"phone": "+1 202"}, "phone", "not a phone number"),
        ({"phone": "+1 202 555 0123 ext 5"}, "phone", "extension"),
        ({"email": "ada@"}, "email", "is not an e-mail address"),
        ({"email": "ada example.com"}, "email", "is not an e-mail address"),
        ({"email": "a..da@example.com"}, "email", "is not an e-mail address"),
        ({"email": "ädä@example.com"}, "email", "is not an e-mail address"),
        ({"name": "Ada\r\nBcc: x"}, "name", "control character"),
        ({"name": "\ud800"}, "name", ""),
        ({"name": ""}, "name", "must not be empty."),
        ({"external_id": "x" * 201}, "external_id", "200"),
        ({"time_zone": "Mars/Base"}, "time_zone", "IANA"),
        ({"locale": "English"}, "locale", "is not a locale"),
        ({"quiet_from": "22:00"}, "", "given together"),
        ({"quiet_from": "25:00", "quiet_until": "07:00"}, "quiet_from", "time of day"),
        ({"quiet_from": 79200, "quiet_until": "07:00"}, "quiet_from", "time of day"),
        ({"quiet_from": "07:00", "quiet_until": "07:00"}, "", "the same"),
        ({"sms_consent": {"granted": True, "source": "form"}}, "", "needs the phone"),
        ({"phone": "+12025550123", "sms_consent": {"granted": True}}, "sms_consent.source", "is m"),
        ({"roles": ["Big, boss"]}, "roles.0", "pattern"),
        ({"nickname": "A"}, "nickname", "is not a known field; check its spelling."),
        ({"subscriptions": [{"channel": "fax", "wanted": True}]}, "subscriptions.0.channel", ""),
        ({"subscriptions": [{"channel": "sms", "wanted": True}] * 2}, "", "twice"),
    ],
)
def test_a_bad_contact_is_refused_with_field_and_reason(
    fields: dict[str, Any], field: str, reason: str
) -> None:
    found = complaints(
        ContactIn, **{"external_id": "p1", "account": "acme", "name": "Ada", **fields}
    )

    assert reason in found[field]


def test_what_is_missing_is_named() -> None:
    assert complaints(ContactIn) == dict.fromkeys(("external_id", "account", "name"), "is missing.")


def test_a_complaint_does_not_repeat_what_was_given() -> None:
    found = complaints(AccountIn, external_id="a", name="Acme", manager_email="secret.person@")

    assert "secret" not in " ".join(found.values())


@pytest.mark.parametrize("empty", [None, ""])
def test_null_and_empty_both_clear(empty: str | None) -> None:
    cleared = contact(
        email=empty, phone=empty, time_zone=empty, quiet_from=empty, quiet_until=empty
    )

    assert (cleared.email, cleared.phone, cleared.time_zone) == ("", "", "")
    assert cleared.quiet_from is None
    assert cleared.given("email")
    assert not cleared.given("locale")


def test_times_of_day_and_locales_are_read() -> None:
    read = contact(quiet_from="22:00", quiet_until="07:30", locale="pt_BR")

    assert (read.quiet_from, read.quiet_until, read.locale) == (time(22), time(7, 30), "pt-BR")


def test_attributes_keep_their_types() -> None:
    record = AccountIn.model_validate(
        {"external_id": "a", "name": "A", "attributes": {"n": 1, "b": True, "f": 1.5, "s": "1"}}
    )

    assert {key: type(value) for key, value in record.attributes.items()} == {
        "n": int,
        "b": bool,
        "f": float,
        "s": str,
    }


@pytest.mark.parametrize("value", [None, [1], {"x": 1}, float("nan"), "a\x00b"])
def test_an_attribute_is_one_plain_value(value: object) -> None:
    assert complaints(AccountIn, external_id="a", name="A", attributes={"x": value})


@given(st.integers(0, 99), st.sampled_from(["202", "415", "555"]))
def test_every_fictional_number_is_its_own_spelling(last: int, area: str) -> None:
    number = f"+1{area}55501{last:02}"

    assert normalise_phone(number) == number


def test_one_mailbox_has_one_hash_in_any_spelling() -> None:
    one = address_hash(_KEY, Channel.EMAIL, "Ada@Example.COM")

    assert one == address_hash(_KEY, Channel.EMAIL, " ada@example.com")
    assert one != address_hash(b"x" * 32, Channel.EMAIL, "ada@example.com")


def test_a_domain_beyond_ascii_is_kept_as_it_is_sent() -> None:
    assert contact(email="ada@bücher.example").email == "ada@xn--bcher-kva.example"
