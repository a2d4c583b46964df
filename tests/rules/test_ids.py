"""Public ids: nobody can guess or forge one, and none passes for another kind."""

import base64
import hmac
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.ids import DELIVERY_KEY_LENGTH, MAC_BYTES, DeliveryKey, ForgedIdError, Signer

SIGNER = Signer(b"a secret of thirty-two bytes....")
numbers = st.integers(-(2**63), 2**63 - 1)
keys = st.builds(
    DeliveryKey,
    update=st.integers(0, 2**63 - 1),
    channel=st.integers(0, 255),
    endpoint=numbers,
    purpose=st.integers(0, 255),
    attempt=st.integers(0, 255),
)


@given(number=numbers)
def test_a_public_id_gives_its_number_back(number: int) -> None:
    assert SIGNER.read_public_id("upd", SIGNER.public_id("upd", number)) == number


@given(number=numbers)
def test_an_id_of_one_kind_is_no_id_of_another(number: int) -> None:
    text = SIGNER.public_id("upd", number)
    with pytest.raises(ForgedIdError):
        SIGNER.read_public_id("inc", text)
    with pytest.raises(ForgedIdError):
        SIGNER.read_public_id("inc", text.replace("upd_", "inc_"))


@given(text=st.text(max_size=60))
def test_no_text_from_outside_is_taken_for_an_id(text: str) -> None:
    for candidate in (text, f"upd_{text}"):
        with pytest.raises(ForgedIdError):
            SIGNER.read_public_id("upd", candidate)
    with pytest.raises(ForgedIdError):
        SIGNER.read_delivery_key(text)


@given(key=keys)
def test_a_delivery_key_returns_whole_in_36_url_safe_characters(key: DeliveryKey) -> None:
    text = SIGNER.delivery_key(key)
    assert SIGNER.read_delivery_key(text) == key
    assert len(text) == DELIVERY_KEY_LENGTH == 36
    assert text.replace("-", "").replace("_", "").isalnum()


@given(key=keys, place=st.integers(0, 35))
def test_one_changed_character_makes_a_key_a_forgery(key: DeliveryKey, place: int) -> None:
    text = SIGNER.delivery_key(key)
    other = "A" if text[place] != "A" else "B"
    with pytest.raises(ForgedIdError):
        SIGNER.read_delivery_key(text[:place] + other + text[place + 1 :])


@given(secret=st.binary(max_size=150), key=keys)
def test_a_delivery_key_is_an_hmac_whatever_the_length_of_the_secret(
    secret: bytes, key: DeliveryKey
) -> None:
    raw = base64.urlsafe_b64decode(Signer(secret).delivery_key(key))
    payload, mac = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
    assert payload == struct.pack(">QBqBB", *key)
    assert mac == hmac.digest(secret, b"delivery\x00" + payload, "sha256")[:MAC_BYTES]


def test_the_secret_shows_in_no_repr() -> None:
    assert "secret of" not in repr(SIGNER)
