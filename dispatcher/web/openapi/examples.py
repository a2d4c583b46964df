"""Requests that work: a test posts each of them, in this order, to an empty installation."""

from collections.abc import Mapping
from typing import Any, Final

PATHS: Final[Mapping[str, str]] = {
    "external_id": "checkout",
    "incident_id": "inc_0000000000000000000000000m",
    "update_id": "upd_0000000000000000000000000m",
    "dispatch_id": "dsp_0000000000000000000000000m",
    "export_id": "exp_0000000000000000000000000m",
    "source_id": "src_0000000000000000000000000m",
    "event_id": "evt_0000000000000000000000000m",
    "webhook_id": "whk_0000000000000000000000000m",
    "delivery_id": "whd_0000000000000000000000000m",
    "user_id": "usr_0000000000000000000000000m",
    "key_id": "5f3c8e0a91d2",
    "secret": "whsec_c2VjcmV0IG9mIHRoZSBzb3VyY2U",
    "provider": "sendgrid",
    "channel": "sms",
}
"""What stands in a path, as it looks; ids of an installation are its own."""

_FACTS: Final = {
    "title": "Some customers cannot check out",
    "impact": "About one in five payments by card fails. Other ways to pay work.",
    "next_update_by": "2099-11-22T14:30:00Z",
}

BODIES: Final[Mapping[str, Mapping[str, Any]]] = {
    "put_component": {"a part of the product": {"name": "checkout", "public_name": "Checkout"}},
    "put_account": {
        "a customer that uses it": {
            "name": "Acme Ltd",
            "attributes": {"plan": "enterprise"},
            "usage": [{"component": "checkout"}],
        }
    },
    "put_contact": {
        "a person there": {
            "account": "checkout",
            "name": "Ada Example",
            "email": "ada@example.com",
            "roles": ["technical"],
            "quiet_from": "22:00",
            "quiet_until": "06:30",
            "time_zone": "Europe/Paris",
        }
    },
    "post_update": {
        "an incident begins": {
            "source": "monitoring",
            "incident": {
                "external_id": "INC-42",
                "severity": "P1",
                "component_ids": ["checkout"],
            },
            "status": "investigating",
            "facts": _FACTS,
        },
        "the next update says what is new": {
            "source": "monitoring",
            "incident": {"external_id": "INC-42"},
            "status": "identified",
            "facts": {
                "workaround": {"steps": ["Pay by invoice."]},
                "next_update_by": "2099-11-22T15:30:00Z",
            },
        },
        "what would be sent, and to how many": {
            "source": "monitoring",
            "incident": {
                "external_id": "INC-43",
                "severity": "P2",
                "component_ids": ["checkout"],
            },
            "status": "investigating",
            "facts": _FACTS,
            "mode": "dry_run",
        },
        "it is over": {
            "source": "monitoring",
            "incident": {"external_id": "INC-42"},
            "status": "resolved",
            "facts": {"impact": "Payments work again.", "next_update_by": None},
        },
        "kept until a person sends it": {
            "source": "monitoring",
            "incident": {
                "external_id": "INC-44",
                "severity": "P2",
                "component_ids": ["checkout"],
            },
            "status": "investigating",
            "mode": "draft",
        },
    },
    "add_suppression": {
        "never write to this address": {"channel": "email", "address": "gone@example.com"}
    },
    "remove_suppression": {
        "it may be used again": {"channel": "email", "address": "gone@example.com"}
    },
    "pause_channel": {
        "until somebody has looked": {"reason": "Texts name the wrong product"},
        "no longer than this": {"reason": "Carrier trouble", "until": "2099-11-22T14:30:00Z"},
    },
    "post_source": {
        "PagerDuty, as drafts": {"kind": "pagerduty", "name": "pagerduty", "mode": "draft"},
        "Alertmanager, with our names of components": {
            "kind": "alertmanager",
            "name": "alertmanager",
            "components": {"checkout-api": "checkout"},
        },
    },
    "patch_source": {
        "a person's words go out at once": {"mode": "auto"},
        "nothing is taken from it any more": {"disabled": True},
    },
    "rotate_source": {"the old secret is good for two more hours": {"overlap_hours": 2}},
    "replay_intake_event": {"what it became already": {}, "once more": {"force": True}},
    "post_webhook": {
        "when a dispatch has ended, and what failed": {
            "url": "https://hooks.example.com/tidings",
            "events": ["dispatch.completed", "delivery.failed"],
            "description": "Tickets for whom we could not reach",
        }
    },
    "patch_webhook": {"it is told of updates as well": {"events": ["update.published"]}},
    "rotate_webhook": {"messages are signed with both for two hours": {"overlap_hours": 2}},
    "patch_draft": {
        "what is missing is added": {"facts": _FACTS},
        "it is worse than we thought": {"severity": "P0"},
    },
    "post_export": {"a table of all deliveries": {"format": "csv"}},
    "make_report_link": {"the whole report, for a day": {"expires_in_hours": 24}},
    "post_user": {
        "somebody who approves": {
            "email": "grace@example.com",
            "name": "Grace Example",
            "role": "comms_lead",
        }
    },
    "post_invitation": {
        "the token of the link": {
            "token": "inv_0000000000000000000000000000000m",
            "password": "a long sentence nobody guesses",
        }
    },
    "post_session": {
        "by password": {
            "email": "grace@example.com",
            "password": "a long sentence nobody guesses",
        }
    },
    "patch_user": {"may write no more": {"role": "viewer"}, "has left": {"disabled": True}},
    "return_from_oidc": {
        "what the browser came back with": {
            "code": "4/0AVG7fiQ",
            "state": "st_0000000000000000000000000000000m",
        }
    },
    "post_password": {
        "a new one": {
            "old": "a long sentence nobody guesses",
            "new": "another sentence nobody guesses",
        }
    },
    "post_key": {
        "for a monitoring system": {
            "name": "monitoring",
            "scopes": ["updates:write"],
            "owner": "system",
            "expires_in_days": 365,
        }
    },
    "rotate_key": {"the old one is good for a day more": {"overlap_hours": 24}},
    "post_banner_receipt": {
        "the user saw it": {
            "id": "inc_0000000000000000000000000m",
            "revision": 1,
            "event": "displayed",
        }
    },
}
