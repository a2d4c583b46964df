"""Pure parts: substitution, the quick look at personalizations, chance, settings."""

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from dispatcher.sandbox import SandboxSettings
from dispatcher.sandbox.chance import Chance, Ids
from dispatcher.sandbox.sendgrid.fates import MAGIC, fate_of
from dispatcher.sandbox.sendgrid.substitute import substitute
from dispatcher.sandbox.sendgrid.validate import is_plain, personalization
from dispatcher.sandbox.twilio import fates as text_fates
from dispatcher.sandbox.twilio.callbacks import signature
from dispatcher.sandbox.twilio.refusals import ERRORS, MAGIC_FROM, MAGIC_TO


@pytest.mark.parametrize(
    ("text", "values", "filled"),
    [
        ("Dear -name-,", {"-name-": "Anna"}, "Dear Anna,"),
        ("-a--a-", {"-a-": "x"}, "xx"),
        ("-a- -b-", {"-a-": "-b-", "-b-": "-a-"}, "-b- -a-"),
        ("-ab-", {"-a": "short", "-ab-": "long"}, "long"),
        ("-missing-", {"-name-": "Anna"}, "-missing-"),
        ("(.*)", {"(.*)": r"\1 \g<0>"}, r"\1 \g<0>"),
        ("as it was", {}, "as it was"),
        ("as it was", {"": "x"}, "as it was"),
        ("<p>-n-</p>", {"-n-": "<b>&amp;</b>"}, "<p><b>&amp;</b></p>"),
        ("-n-", {"-n-": ""}, ""),
    ],
)
def test_tags_are_replaced_once_and_values_left_alone(
    text: str, values: dict[str, str], filled: str
) -> None:
    assert substitute(text, values) == filled


@given(
    words=st.lists(st.text(alphabet="abc \n<&€", max_size=5), max_size=6),
    values=st.lists(st.text(max_size=8), min_size=7, max_size=7),
)
def test_text_between_tags_never_changes(words: list[str], values: list[str]) -> None:
    tags = [f"-x{number}-" for number in range(7)]
    text = "".join(word + tag for word, tag in zip(words, tags, strict=False))
    filled = "".join(word + value for word, value in zip(words, values, strict=False))
    assert substitute(text, dict(zip(tags, values, strict=True))) == filled


JSON = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.just("a@b.co")
STRINGS = st.dictionaries(
    st.sampled_from(["tidings", "List-Id", "Subject", "-n-", "é"]),
    st.sampled_from(["x", "", "a\nb", "€" * 2_000]) | st.integers(),
    max_size=3,
)
PEOPLE = st.lists(
    st.dictionaries(st.sampled_from(["email", "name"]), JSON, max_size=2) | JSON, max_size=2
)
PERSONALIZATIONS = st.dictionaries(
    st.sampled_from(["to", "cc", "bcc", "custom_args", "substitutions", "headers", "send_at"]),
    STRINGS | PEOPLE | JSON,
) | st.fixed_dictionaries(
    {"to": st.just([{"email": "anna@example.com"}])},
    optional={"custom_args": STRINGS, "substitutions": STRINGS, "headers": STRINGS, "cc": PEOPLE},
)


@given(item=PERSONALIZATIONS | JSON)
def test_what_passes_the_quick_look_has_no_problem(item: Any) -> None:
    if is_plain(item):
        assert list(personalization(0, item)) == []


def test_an_ordinary_personalization_passes_the_quick_look() -> None:
    item = {
        "to": [{"email": "anna@example.com"}],
        "custom_args": {"tidings": "k", "rq": "r"},
        "substitutions": {"-n-": "Anna\nLindqvist"},
        "headers": {"List-Unsubscribe": "<https://example.com/u>"},
    }
    assert is_plain(item)


@given(seed=st.integers(-(2**63), 2**63), who=st.text())
def test_chance_depends_on_seed_and_person_only(seed: int, who: str) -> None:
    draws = Chance(seed).draws(who)
    assert draws == Chance(seed).draws(who)
    assert all(0 <= number < 1 for number in draws)


def test_another_seed_is_another_run() -> None:
    assert Chance(1).draws("anna@example.com") != Chance(2).draws("anna@example.com")


def test_identifiers_never_repeat_within_or_between_runs() -> None:
    first, second = Ids(1.0), Ids(2.0)
    numbers = [ids.hex() for ids in (first, second) for _ in range(100)]
    assert len(set(numbers)) == 200


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_shares_hold_over_many_people(share: float) -> None:
    chance = Chance(5)
    people = [f"p{number}@example.com" for number in range(2_000)]
    fates = [fate_of(one, chance.draws(one), bounced=share, deferred=0) for one in people]
    bounced = sum(fate.steps[-1].event == "bounce" for fate in fates) / len(people)
    assert bounced == pytest.approx(share, abs=0.03)
    texts = [
        text_fates.fate_of("+12125550101", chance.draws(one), bounced=share, deferred=0)
        for one in people
    ]
    lost = sum(fate[-1].status == "undelivered" for fate in texts) / len(people)
    assert lost == pytest.approx(share, abs=0.03)


@given(who=st.emails(), deferred=st.floats(0, 1))
def test_events_of_a_mail_come_in_order_and_in_time(who: str, deferred: float) -> None:
    fate = fate_of(f"x{who}", Chance(1).draws(who), bounced=0.1, deferred=deferred)
    times = [step.when for step in fate.steps]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] < 3


def test_magic_fates_come_in_order() -> None:
    for mail in MAGIC.values():
        assert [one.when for one in mail.steps] == sorted(one.when for one in mail.steps)
    for text in text_fates.MAGIC.values():
        assert [one.when for one in text] == sorted(one.when for one in text)


def test_every_magic_number_has_its_words() -> None:
    assert {*MAGIC_FROM.values(), *MAGIC_TO.values()} <= ERRORS.keys()


def test_twilios_own_example_has_twilios_own_signature() -> None:
    form = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675309",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
    }
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert signature("12345", url, form) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"port": 70_000}, "port"),
        ({"colour": "red"}, "colour"),
        ({"bounced": 1.5}, "bounced"),
        ({"latency": -1}, "latency"),
        ({"receipts_url": "127.0.0.1:8080"}, "receipts_url"),
        ({"receipts_after": (3, 1)}, "receipts_after"),
        ({"twilio_account_sid": "AC1"}, "twilio_account_sid"),
        ({"sendgrid_webhook_private_key": "no key"}, ""),
    ],
)
def test_wrong_settings_are_refused_at_the_start(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        SandboxSettings.model_validate(settings)
    assert field in str(refused.value)


def test_settings_do_not_show_their_secrets(tmp_path: Path) -> None:
    settings = SandboxSettings.model_validate(
        {"sendgrid_api_key": "SG.hidden", "twilio_auth_token": "hidden", "journal": tmp_path}
    )
    assert "hidden" not in repr(settings)
    assert "PRIVATE KEY" not in repr(settings)


def test_a_given_key_signs_with_its_public_half() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    settings = SandboxSettings(sendgrid_webhook_private_key=SecretStr(pem))
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert settings.sendgrid_webhook_public_key == b64encode(public).decode()


def test_without_a_key_every_sandbox_has_the_same_so_that_it_can_be_written_down() -> None:
    assert (
        SandboxSettings().sendgrid_webhook_public_key
        == SandboxSettings().sendgrid_webhook_public_key
    )
