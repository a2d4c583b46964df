"""Signatures and lengths of others, verified by our code."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from twilio.request_validator import RequestValidator

from channels.model import ForgedReceiptError
from channels.sendgrid_events import EventReader
from channels.social_length import LIMIT, weighted_length
from channels.twilio_callbacks import _is_signed

NOW = datetime(2026, 9, 21, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def vectors(contract: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((contract / "vectors.json").read_text())
    return loaded


def test_twilio_signatures(vectors: dict[str, Any]) -> None:
    """Only plain forms: repeated fields and JSON bodies are refused before a signature is asked."""
    validator = RequestValidator(vectors["twilio"]["auth_token"])
    forms = [case for case in vectors["twilio"]["cases"] if "params" in case]
    assert len(forms) >= 5
    for case in forms:
        url, form, signature = case["url"], case["params"], case["signature"]
        assert _is_signed(validator, url, form, signature) is case["valid"], case["name"]
        assert not _is_signed(validator, url + "&x=1", form, signature)
        assert not _is_signed(validator, url, {**form, "Digits": "9"}, signature)


def test_sendgrid_signature(vectors: dict[str, Any]) -> None:
    given = vectors["sendgrid"]
    body = given["payload"].encode()

    def read(
        body: bytes = body,
        key: str = given["public_key"],
        signature: str = given["signature"],
        timestamp: str = given["timestamp"],
    ) -> object:
        headers = {
            "X-Twilio-Email-Event-Webhook-Signature": signature,
            "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
        }
        return EventReader([key]).read(headers, body, NOW)

    assert read() == [], "authentic, and its one event carries no key of ours"
    changed: list[dict[str, Any]] = [
        {"body": body.rstrip()},
        {"body": json.dumps(json.loads(body)).encode()},
        {"timestamp": "1600112503"},
        {"signature": given["wrong_signature"]},
        {"key": given["wrong_public_key"]},
    ]
    for change in changed:
        with pytest.raises(ForgedReceiptError):
            read(**change)


def test_weighted_lengths(vectors: dict[str, Any]) -> None:
    cases = vectors["x_weighted_length"]["v3"]
    assert len(cases) >= 24
    for case in cases:
        assert weighted_length(case["text"]) == case["weighted"], case["d"]
        assert not case["valid"] or case["weighted"] <= LIMIT
