"""Twilio's callbacks: how one text fares, and texts people send to us.

Twilio signs URL and sorted form fields glued together without separators, and without a time. So
the URL must have exactly the shape we gave out, no field may come twice, and our account must be
named in the body (it sorts first: nothing can be moved between URL and body past it). Replays are
harmless, receipts are idempotent.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import parse_qsl

from twilio.request_validator import RequestValidator

from channels.model import Fact, ForgedReceiptError, MalformedReceiptError, Reason, Receipt
from channels.opt_words import Wish, wish
from channels.twilio_codes import STATUSES, Then, explain

CALLBACK_PATH: Final = "/v1/receipts/twilio"
# With a key: a status callback of ours. Without: the number's inbound address, set by the operator.
_TARGET = re.compile(re.escape(CALLBACK_PATH) + r"(?:\?d=([A-Za-z0-9_-]{20,80}))?")
_MAX_FIELDS = 100
_PHONE = re.compile(r"\+?[0-9]{3,15}")
_SID = re.compile(r"[A-Za-z0-9]{2,64}")
_CODE = re.compile(r"[0-9]{1,9}")
_FAILURES = frozenset({"undelivered", "failed", "partially_delivered", "canceled"})


class CallbackReader:
    """Verifies with any of the given tokens (two while one is being replaced), then parses."""

    def __init__(self, account_sid: str, tokens: Sequence[str], public_url: str) -> None:
        self._account_sid = account_sid
        self._validators = [RequestValidator(token) for token in tokens]
        self._public_url = public_url

    def read(
        self, raw_path: str, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> list[Receipt]:
        """One receipt, or none for what says nothing; raises the two receipt errors only.

        The signed URL is the configured public one plus `raw_path`; Host is never asked. The
        header that names another algorithm is ignored: only what is configured counts.
        """
        signature = {name.lower(): value for name, value in headers.items()}.get(
            "x-twilio-signature"
        )
        if not signature:
            raise MalformedReceiptError("no signature header")
        target = _TARGET.fullmatch(raw_path)
        if target is None:
            raise MalformedReceiptError("the URL is not one we gave to Twilio")
        form = _form(body)
        url = self._public_url + raw_path
        if not any(_is_signed(one, url, form, signature) for one in self._validators):
            raise ForgedReceiptError("the signature fits none of the configured tokens")
        if form.get("AccountSid") != self._account_sid:
            raise MalformedReceiptError("AccountSid is missing or another account's")
        key = target[1]
        return _status_receipts(key, form, now) if key else _inbound_receipts(form, now)


def _form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode(),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError:
        raise MalformedReceiptError("the body is not a form") from None
    form = dict(pairs)
    if len(form) < len(pairs):
        raise MalformedReceiptError("a form field comes twice")
    return form


def _is_signed(
    validator: RequestValidator, url: str, form: Mapping[str, str], signature: str
) -> bool:
    try:
        return validator.validate(url, form, signature) is True
    except Exception:  # noqa: BLE001 -- it raises on odd ports and headers; none of that is a proof
        return False


def _status_receipts(key: str, form: Mapping[str, str], now: datetime) -> list[Receipt]:
    status = form.get("MessageStatus")
    if not status:
        raise MalformedReceiptError("MessageStatus is missing")
    fact = STATUSES.get(status)
    if fact is None:
        return []
    reason, detail, suppress = _explanation(status, form.get("ErrorCode", ""))
    return [
        Receipt(
            key=key,
            fact=fact,
            at=now,  # the callback names no time with a zone
            provider_ref=_message_sid(form),
            detail=detail,
            reason=reason,
            suppress=suppress,
        )
    ]


def _explanation(status: str, code: str) -> tuple[Reason | None, str, bool]:
    if status not in _FAILURES:
        return None, status, False
    if not _CODE.fullmatch(code):
        return Reason.PROVIDER_ERROR, status, False
    row, detail = explain(int(code))
    return row.reason, f"{status} {detail}", row.then is Then.NEVER_AGAIN


def _inbound_receipts(form: Mapping[str, str], now: datetime) -> list[Receipt]:
    sender, text = form.get("From", ""), form.get("Body")
    if text is None or not _PHONE.fullmatch(sender):
        raise MalformedReceiptError("Body or From of an inbound text is missing")
    asked = wish(text, form.get("OptOutType", ""))
    if asked is None:
        return []
    stops = asked is Wish.STOP
    return [
        Receipt(
            key="",
            fact=Fact.UNSUBSCRIBED,
            at=now,
            provider_ref=_message_sid(form),
            detail=f"inbound {asked.value}",
            reason=Reason.OPTED_OUT if stops else None,
            suppress=stops,
            lift=not stops,
            address=sender,
        )
    ]


def _message_sid(form: Mapping[str, str]) -> str:
    sid = form.get("MessageSid", "")
    return sid if _SID.fullmatch(sid) else ""
