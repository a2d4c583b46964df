"""Addresses in their one spelling, and the keyed hash that outlives them."""

import hashlib
import hmac
import re
from functools import lru_cache
from typing import Final, assert_never

import phonenumbers
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from phonenumbers import NumberParseException, PhoneNumberFormat

from segments.model import Channel
from segments.numbering import plain_e164

MAX_APP_USER: Final = 200

# Plain ASCII local parts need no more than this; whatever else is asked of email-validator.
_PLAIN_LOCAL: Final = re.compile(r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*")
# Domains that email-validator could only put in lower case: letters, digits and hyphens, no Punycode,
# a top level that ends in a letter. With "x@" before it the longest has 254 characters.
_PLAIN_DOMAIN: Final = re.compile(
    r"(?=.{1,252}\Z)(?:(?!..--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+"
    r"(?!..--)(?:[a-z0-9][a-z0-9-]{0,61})?[a-z]",
    re.ASCII | re.IGNORECASE,
)
_SPECIAL_USE: Final = tuple(f".{name}" for name in SPECIAL_USE_DOMAIN_NAMES)
# 555-01xx is set aside for fiction in every North American area code. phonenumbers calls most of
# them invalid, yet samples and drills must use them.
_FICTIONAL: Final = re.compile(r"\+1(?:\d{3}55501\d{2}|55501\d{5})")


def _email_domain(domain: str) -> str:
    lower = domain.lower()
    if _PLAIN_DOMAIN.fullmatch(domain) and not f".{lower}".endswith(_SPECIAL_USE):
        return lower
    return _other_domain(domain)


@lru_cache(maxsize=8192)
def _other_domain(domain: str) -> str:
    return validate_email(f"x@{domain}", check_deliverability=False).ascii_domain


def normalise_email(text: str) -> str:
    """The address as it is sent to: ASCII domain in lower case. ValueError says what is wrong."""
    local, at, domain = text.strip().rpartition("@")
    try:
        if at and len(local) <= 64 and _PLAIN_LOCAL.fullmatch(local):  # noqa: PLR2004 - RFC 5321
            return f"{local}@{_email_domain(domain)}"
        found = validate_email(text, check_deliverability=False, allow_smtputf8=False)
    except EmailNotValidError as error:
        raise ValueError(f"is not an e-mail address: {error}") from error
    return f"{found.local_part}@{found.ascii_domain}"


def normalise_phone(text: str) -> str:
    """The number in E.164. ValueError says what is wrong.

    Fictional North American numbers (+1 xxx 555 01xx, +1 555 01x xxxx) are taken as they are.
    """
    plain = plain_e164(text)
    return plain if plain is not None else _understood(text)


def _understood(text: str) -> str:
    try:
        number = phonenumbers.parse(text)
    except NumberParseException as error:
        raise ValueError(
            "is not a phone number in international form, such as +1 202 555 0123."
        ) from error
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    if number.extension:
        raise ValueError("has an extension; a text message cannot reach it.")
    if _FICTIONAL.fullmatch(e164) or phonenumbers.is_valid_number(number):
        return e164
    raise ValueError("is not a phone number that exists; check its digits and country code.")


def normalise_app_user(text: str) -> str:
    """The product's own user id, which the banner is shown to. ValueError says what is wrong."""
    text = text.strip()
    if not text or len(text) > MAX_APP_USER:
        raise ValueError(f"must have 1 to {MAX_APP_USER} characters.")
    return text


def normalise(channel: Channel, text: str) -> str:
    """The one spelling of an address on a channel. ValueError says what is wrong with it."""
    match channel:
        case Channel.EMAIL:
            return normalise_email(text)
        case Channel.SMS:
            return normalise_phone(text)
        case Channel.BANNER | Channel.SOCIAL:
            return normalise_app_user(text)
        case _:
            assert_never(channel)


def hash_normalised(hash_key: bytes, channel: Channel, address: str) -> bytes:
    """HMAC-SHA256 of a normalised address. Mailboxes are compared without regard to case."""
    same = address.lower() if channel is Channel.EMAIL else address
    return hmac.digest(hash_key, same.encode(), hashlib.sha256)


def address_hash(hash_key: bytes, channel: Channel, text: str) -> bytes:
    """The hash of an address in any spelling. ValueError if it cannot be one."""
    return hash_normalised(hash_key, channel, normalise(channel, text))
