"""The incident the demo tells: acknowledged, a workaround found, resolved."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

SOURCE = "demo"
INCIDENT = "INC-1041"


def updates(now: datetime) -> Sequence[dict[str, Any]]:
    """Three bodies of POST /v1/updates, in order; promises lie an hour ahead of `now`."""
    return _acknowledgement(now), _workaround(now), _resolution()


def _acknowledgement(now: datetime) -> dict[str, Any]:
    return {
        "source": SOURCE,
        "incident": {
            "external_id": INCIDENT,
            "severity": "P1",
            "visibility": "public",
            "component_ids": ["checkout"],
            "lead": "Robin, communications",
        },
        "status": "investigating",
        "facts": {
            "title": "Some customers cannot pay by card",
            "impact": "About one in five card payments fails at checkout. Orders are saved.",
            "scope": {
                "who": "Customers who pay by card",
                "features": ["Card payments"],
            },
            "what_we_do": "We are looking into it together with our payment team.",
            "data_safe": {"safe": True, "text": "No card data is affected."},
            "next_update_by": (now + timedelta(minutes=60)).isoformat(),
        },
        "internal": {
            "cause": "Time-outs between checkout-api and the card gateway since the 13:40 release.",
            "script": "We see the failures, orders are saved, nobody is charged twice.",
        },
    }


def _workaround(now: datetime) -> dict[str, Any]:
    return {
        "source": SOURCE,
        "incident": {"external_id": INCIDENT},
        "status": "identified",
        "facts": {
            "what_we_do": "We are moving card payments to our second provider.",
            "workaround": {
                "steps": ["Choose “Pay by invoice” at checkout.", "Complete the order as usual."],
                "caveats": "Invoices are sent within one working day.",
                "validated_by": "Support, on three test accounts",
            },
            "next_update_by": (now + timedelta(minutes=60)).isoformat(),
        },
    }


def _resolution() -> dict[str, Any]:
    return {
        "source": SOURCE,
        "incident": {"external_id": INCIDENT},
        "status": "resolved",
        "facts": {
            "impact": "Card payments work again. Orders saved in the meantime can be paid now.",
            "what_we_do": "We keep watching payments closely today.",
            "cause": {"text": "A release made card payments time out.", "confirmed": True},
            "workaround": None,
            "next_update_by": None,
        },
    }
