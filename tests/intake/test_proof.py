"""Proofs, judged by those who wrote the rules: reference vectors and the reference library."""

import base64
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from dispatcher.intake import proof
from dispatcher.intake.model import ForgedError, Keys

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
KEYS = Keys((bytes(range(32)),), (proof.digest(b"open sesame, please"),))
BODY = '{"text": "☃"}'.encode()
NOW = datetime(2026, 11, 22, 14, tzinfo=UTC)


def signed(secret: str = SECRET, at: datetime = NOW, name: str = "msg_1") -> dict[str, str]:
    """By the library of the specification."""
    return {
        "webhook-id": name,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(name, at, BODY.decode()),
    }


def test_the_vector_of_the_specification_fits() -> None:
    keys = Keys((base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),))
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    at = datetime.fromtimestamp(1614265330, UTC)
    proof.standard_webhook(keys, b'{"test": 2432232314}', headers, now=at)
    with pytest.raises(ForgedError):
        proof.standard_webhook(keys, b'{"test": 2432232315}', headers, now=at)


def test_what_the_reference_library_signs_is_taken() -> None:
    proof.standard_webhook(KEYS, BODY, signed(), now=NOW)


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h | {"webhook-id": "msg_2"},
        lambda h: h | {"webhook-timestamp": str(int(h["webhook-timestamp"]) + 1)},
        lambda h: h | {"webhook-signature": h["webhook-signature"].replace("v1,", "v2,")},
        lambda h: h | {"webhook-signature": h["webhook-signature"].replace("v1,", "v1a,")},
        lambda h: h | {"webhook-signature": ""},
        lambda h: h | {"webhook-timestamp": "1e9"},
        lambda h: h | {"webhook-timestamp": "١٧٩٥٣٥٦٠٠٠"},
        lambda h: {name: text for name, text in h.items() if name != "webhook-id"},
        lambda _: signed("whsec_" + base64.b64encode(b"x" * 32).decode()),
    ],
)
def test_whatever_is_changed_of_a_signed_webhook_it_is_forged(
    change: Callable[[dict[str, str]], dict[str, str]],
) -> None:
    with pytest.raises(ForgedError):
        proof.standard_webhook(KEYS, BODY, change(signed()), now=NOW)


def test_one_of_several_signatures_is_enough_while_a_secret_is_rotated() -> None:
    headers = signed()
    many = f"v1a,AAAA v1,{'A' * 43}= {headers['webhook-signature']}"
    proof.standard_webhook(KEYS, BODY, headers | {"webhook-signature": many}, now=NOW)
    older = Keys((b"newer secret, not yet known there", *KEYS.secrets))
    proof.standard_webhook(older, BODY, headers, now=NOW)


@pytest.mark.parametrize(
    ("seconds", "fits"), [(-301, False), (-300, True), (300, True), (301, False)]
)
def test_five_minutes_in_either_direction_are_fresh(seconds: int, fits: bool) -> None:  # noqa: FBT001 - a table
    at = NOW + timedelta(seconds=seconds)
    with nullcontext() if fits else pytest.raises(ForgedError):
        proof.standard_webhook(KEYS, BODY, signed(at=at), now=NOW)


def basic(pair: str) -> str:
    return base64.b64encode(pair.encode()).decode()


@pytest.mark.parametrize(
    ("authorization", "fits"),
    [
        ("Bearer open sesame, please", True),
        ("bearer open sesame, please", True),
        (f"Basic {basic('anybody:open sesame, please')}", True),
        (f"Basic {basic(':open sesame, please')}", True),
        ("Bearer open sesame, pleas", False),
        ("Bearer", False),
        ("", False),
        ("open sesame, please", False),
        ("Digest open sesame, please", False),
        (f"Basic {basic('open sesame, please:')}", False),
        (f"Basic {basic('open sesame, please')}", False),
        ("Basic open sesame", False),
    ],
)
def test_a_secret_is_shown_as_bearer_or_as_the_password_of_basic(
    authorization: str,
    fits: bool,  # noqa: FBT001 - a table
) -> None:
    with nullcontext() if fits else pytest.raises(ForgedError):
        proof.shown(KEYS, {"authorization": authorization})


def test_without_any_secret_nothing_fits() -> None:
    nothing = Keys()
    attempts: list[Callable[[], None]] = [
        lambda: proof.shown(nothing, {"authorization": "Bearer "}),
        lambda: proof.shown_in_path(nothing, ""),
        lambda: proof.signed_in_hex(nothing, b"", [""]),
        lambda: proof.standard_webhook(nothing, BODY, signed(), now=NOW),
    ]
    for attempt in attempts:
        with pytest.raises(ForgedError):
            attempt()
