"""What Twilio refuses, and the magic numbers that make it refuse."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

ERRORS: Final[Mapping[int, tuple[int, str]]] = {
    20001: (400, "Invalid parameter"),
    20003: (401, "Authenticate"),
    20404: (404, "The requested resource was not found"),
    20429: (429, "Too Many Requests"),
    20500: (500, "An internal server error has occurred"),
    20503: (503, "Service unavailable"),
    21211: (400, "Invalid 'To' Phone Number"),
    21212: (400, "Invalid 'From' Phone Number"),
    21408: (400, "Permission to send an SMS has not been enabled for the region"),
    21602: (400, "Message body is required."),
    21603: (400, "A 'From' phone number is required."),
    21604: (400, "A 'To' phone number is required."),
    21606: (400, "The 'From' phone number is not a valid, SMS-capable Twilio number"),
    21609: (400, "The 'StatusCallback' URL is not a valid URL"),
    21610: (400, "Attempt to send to unsubscribed recipient"),
    21611: (400, "This 'From' number has exceeded the maximum number of queued messages"),
    21612: (400, "The 'To' phone number is not currently reachable"),
    21614: (400, "'To' number is not a valid mobile number"),
    21617: (400, "The concatenated message body exceeds the 1600 character limit"),
    21701: (400, "The Messaging Service does not exist"),
    30409: (400, "The message is not in a cancelable state"),
}
"""Code, HTTP status, sentence."""

MAGIC_FROM: Final[Mapping[str, int]] = {
    "+15005550001": 21212,
    "+15005550007": 21606,
    "+15005550008": 21611,
}
MAGIC_TO: Final[Mapping[str, int]] = {
    "+15005550001": 21211,
    "+15005550002": 21612,
    "+15005550003": 21408,
    "+15005550004": 21610,
    "+15005550009": 21614,
}
LONGEST_BODY: Final = 1_600
LONGEST_WAIT: Final = 36_000
"""Seconds a text may stand in the queue; also the default ValidityPeriod."""

_NUMBER = re.compile(r"\+[1-9]\d{6,14}")
_SENDER = re.compile(r"\+[1-9]\d{6,14}|\d{5,6}|(?=.*[A-Za-z])[A-Za-z0-9 ]{2,11}")
_SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")


def refusal(form: Mapping[str, str]) -> int | None:
    """The error code Twilio answers this form with; None when it would take it."""
    return _bad_to(form.get("To", "")) or _bad_from(form) or _bad_rest(form)


def _bad_to(number: str) -> int | None:
    if not number:
        return 21604
    if number in MAGIC_TO:
        return MAGIC_TO[number]
    return None if _NUMBER.fullmatch(number) else 21211


def _bad_from(form: Mapping[str, str]) -> int | None:
    if service := form.get("MessagingServiceSid"):
        return None if _SERVICE.fullmatch(service) else 21701
    number = form.get("From", "")
    if not number:
        return 21603
    if number in MAGIC_FROM:
        return MAGIC_FROM[number]
    return None if _SENDER.fullmatch(number) else 21212


def _bad_rest(form: Mapping[str, str]) -> int | None:
    body = form.get("Body", "")
    if not body:
        return 21602
    if len(body) > LONGEST_BODY:
        return 21617
    callback = form.get("StatusCallback")
    if callback is not None and not _is_url(callback):
        return 21609
    period = form.get("ValidityPeriod", "1")
    if not period.isdecimal() or not 1 <= int(period) <= LONGEST_WAIT:
        return 20001
    return None


def _is_url(value: str) -> bool:
    parts = urlsplit(value)
    host = parts.hostname or ""
    return parts.scheme in ("http", "https") and host != "" and "_" not in host
