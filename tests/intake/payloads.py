"""What the senders send, in their shapes and with our words. Each call makes a new one."""

import copy
from typing import Any

from dispatcher.intake.model import Kind

Json = dict[str, Any]

_SERVICE = {
    "html_url": "https://acme.pagerduty.com/services/PSVC001",
    "id": "PSVC001",
    "self": "https://api.pagerduty.com/services/PSVC001",
    "summary": "Checkout",
    "type": "service_reference",
}


def pagerduty(event_type: str = "incident.triggered", **data: Any) -> Json:
    """An event of v3 about an incident."""
    return {
        "event": {
            "id": f"01EVENT{event_type.rpartition('.')[2].upper()}",
            "event_type": event_type,
            "resource_type": "incident",
            "occurred_at": "2026-11-22T14:00:00.315Z",
            "agent": {"id": "PUSER01", "summary": "Ada Operator", "type": "user_reference"},
            "client": None,
            "data": {
                "id": "PINC001",
                "type": "incident",
                "html_url": "https://acme.pagerduty.com/incidents/PINC001",
                "number": 9,
                "status": "triggered",
                "title": "p99 of checkout-db-7 above 4 s",
                "service": dict(_SERVICE),
                "assignees": [],
                "priority": None,
                "urgency": "high",
                "resolve_reason": None,
                **data,
            },
        }
    }


def pagerduty_status_update(**data: Any) -> Json:
    """What a person tells stakeholders in PagerDuty."""
    body = pagerduty("incident.status_update_published")
    body["event"]["data"] = {
        "incident": {
            "html_url": "https://acme.pagerduty.com/incidents/PINC001",
            "id": "PINC001",
            "summary": "p99 of checkout-db-7 above 4 s",
            "type": "incident_reference",
        },
        "id": "PSTAT01",
        "message": "Some card payments fail. Orders are kept. We are working on it.",
        "trimmed": False,
        "type": "incident_status_update",
        **data,
    }
    return body


def incidentio_created(**incident: Any) -> Json:
    """An incident that was opened."""
    name = "public_incident.incident_created_v2"
    return {
        "event_type": name,
        name: {
            "id": "01FINCIDENT",
            "reference": "INC-123",
            "name": "Checkout database is slow",
            "summary": "Replica lag since the last deploy.",
            "mode": "standard",
            "visibility": "public",
            "permalink": "https://app.incident.io/incidents/123",
            "severity": {"id": "01SEV", "name": "Minor", "rank": 1},
            "incident_status": {"category": "triage", "name": "Triage"},
            "creator": {"user": {"email": "ada@example.com", "name": "Ada Operator"}},
            "custom_field_entries": [
                {
                    "custom_field": {"id": "01CF", "name": "Affected product"},
                    "values": [{"value_option": {"id": "01OPT", "value": "Shop"}}],
                }
            ],
            "created_at": "2026-11-22T13:28:57.801578Z",
            "updated_at": "2026-11-22T13:28:57.801578Z",
            **incident,
        },
    }


def incidentio_status(message: str = "Rolled back; payments work again.", **event: Any) -> Json:
    """A status that was set, with the words that go with it."""
    name = "public_incident.incident_status_updated_v2"
    return {
        "event_type": name,
        name: {
            "incident": {
                "id": "01FINCIDENT",
                "reference": "INC-123",
                "name": "Checkout database is slow",
                "visibility": "public",
                "mode": "standard",
                "created_at": "2026-11-22T13:28:57Z",
                "updated_at": "2026-11-22T14:00:00Z",
            },
            "message": message,
            "new_status": {"id": "01ST", "name": "Closed", "category": "closed", "rank": 99},
            "previous_status": {"id": "01SU", "name": "Fixing", "category": "live", "rank": 11},
            **event,
        },
    }


def statuspage_update(number: int, status: str, body: str, **more: Any) -> Json:
    """One entry of an incident's history; a higher number is a later one."""
    at = f"2026-11-22T14:{number:02d}:00.548Z"
    return {
        "id": f"upd{number}",
        "incident_id": "spinc1",
        "status": status,
        "body": body,
        "created_at": at,
        "updated_at": at,
        "display_at": at,
        "deliver_notifications": True,
        "custom_tweet": None,
        "affected_components": [
            {
                "code": "cmp1",
                "name": "Shop",
                "old_status": "operational",
                "new_status": "partial_outage",
            }
        ],
        **more,
    }


OPENED = statuspage_update(1, "identified", "Some card payments fail. Orders are kept.")
RESOLVED = statuspage_update(9, "resolved", "Card payments work again for everybody.")


def statuspage(*updates: Json, **incident: Any) -> Json:
    """An event with the whole history so far, oldest first here, newest first in the event."""
    history = [copy.deepcopy(item) for item in reversed(updates or (OPENED,))]
    return {
        "meta": {
            "unsubscribe": "http://acme.statuspage.io/?unsubscribe=zzzz6727vmjz",
            "documentation": "http://docs.example.com/webhooks/",
            "generated_at": "2026-11-22T14:32:00.770Z",
        },
        "page": {"id": "pg1", "status_indicator": "none", "status_description": "Fine"},
        "incident": {
            "id": "spinc1",
            "page_id": "pg1",
            "name": "Some payments fail",
            "status": history[0]["status"],
            "impact": "major",
            "shortlink": "http://stspg.example/1",
            "backfilled": False,
            "scheduled_for": None,
            "created_at": "2026-11-22T14:00:00.507Z",
            "resolved_at": None,
            "incident_updates": history,
            "components": [{"id": "cmp1", "name": "Shop", "status": "partial_outage"}],
            **incident,
        },
    }


def statuspage_component() -> Json:
    """A component that changed its colour."""
    return {
        "meta": {"generated_at": "2026-11-22T07:59:09.498Z"},
        "page": {"id": "pg1", "status_indicator": "maintenance"},
        "component": {"id": "cmp1", "name": "Shop", "status": "under_maintenance"},
        "component_update": {
            "id": "cu1",
            "component_id": "cmp1",
            "old_status": "operational",
            "new_status": "under_maintenance",
            "created_at": "2026-11-22T07:59:09.379Z",
        },
    }


def alert(name: str = "a1", *, firing: bool = True, **labels: str) -> Json:
    """One alert of a group."""
    return {
        "status": "firing" if firing else "resolved",
        "labels": {"alertname": "CheckoutSlow", "instance": f"db-{name}", **labels},
        "annotations": {
            "summary": f"Queries of {name} are slow",
            "description": f"{name} takes 4.2 s, page ops@example.com or +1 202 555 0199",
        },
        "startsAt": "2026-11-22T14:00:58.432911368Z",
        "endsAt": "0001-01-01T00:00:00Z" if firing else "2026-11-22T14:42:58.432911368Z",
        "generatorURL": "http://prometheus:9090/graph?g0.expr=up",
        "fingerprint": f"fp-{name}",
    }


def alertmanager(
    *alerts: Json, group: str = '{}/{}:{alertname="CheckoutSlow"}', **more: Any
) -> Json:
    """A group of alerts; `status` as Alertmanager sets it."""
    told = list(alerts) or [alert("a1"), alert("a2")]
    return {
        "receiver": "tidings",
        "version": "4",
        "status": "firing" if any(one["status"] == "firing" for one in told) else "resolved",
        "groupKey": group,
        "groupLabels": {"alertname": "CheckoutSlow"},
        "commonLabels": {"alertname": "CheckoutSlow", "severity": "critical"},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "alerts": told,
        "truncatedAlerts": 0,
        **more,
    }


def grafana(*alerts: Json, **more: Any) -> Json:
    """The same with what Grafana adds; the newest versions say `orgId` with each alert, too."""
    told = [
        {
            **one,
            "generatorURL": "?orgId=1",
            "silenceURL": "https://grafana.example.com/alerting/silence/new",
            "dashboardURL": "",
            "values": {"B": 7.2, "C": 1},
            "valueString": "[ var='B' value=7.2 ]",
            "orgId": 1,
        }
        for one in (alerts or (alert("a1"),))
    ]
    return {
        **alertmanager(*told, group="webhook-c4edaaf9-1777986297"),
        "version": "1",
        "appVersion": "12.4.2",
        "orgId": 1,
        "title": "[FIRING:1] CheckoutSlow",
        "state": "alerting",
        "message": "Firing",
        **more,
    }


def opsgenie(action: str = "Create", **of_alert: Any) -> Json:
    """An action on an alert, with milliseconds and nanoseconds side by side."""
    return {
        "action": action,
        "alert": {
            "alertId": "ec03dad6-62c8-4c94-b38b-000000000001",
            "message": "checkout-db-7 is slow",
            "tags": ["shop"],
            "tinyId": "2",
            "source": "ada@example.com",
            "entity": "checkout-db-7",
            "alias": "checkout-slow",
            "createdAt": 1795356000000,
            "updatedAt": 1795356000000000110,
            "username": "ada@example.com",
            "priority": 3,
            **of_alert,
        },
        "source": {"name": "web", "type": "API"},
        "integrationName": "Tidings",
    }


def native(**data: Any) -> Json:
    """What an own system says of an incident."""
    return {
        "incident": {
            "external_id": "INC-42",
            "name": "Some customers cannot check out",
            "impact": "major",
            "component_ids": ["checkout"],
        },
        "status": "investigating",
        "body": "Some customers see an error when paying. Carts are kept.",
        "next_update_by": "2099-11-22T14:30:00Z",
        **data,
    }


def cloudevent(**more: Any) -> Json:
    """An event in the structured form."""
    return {
        "specversion": "1.0",
        "type": "com.example.incident.update.published",
        "source": "/monitoring/eu-1",
        "subject": "INC-42",
        "id": "A234-1",
        "time": "2026-11-22T14:00:00Z",
        "datacontenttype": "application/json",
        "data": native(),
        **more,
    }


def own_webhook(**more: Any) -> Json:
    """An event of an own system that signs as Standard Webhooks."""
    return {
        "type": "incident.update.published",
        "timestamp": "2026-11-22T14:00:00Z",
        "data": native(),
        **more,
    }


def of_every_kind() -> dict[Kind, list[Json]]:
    """At least one of each shape that an adapter tells apart."""
    return {
        Kind.PAGERDUTY: [
            pagerduty(),
            pagerduty("incident.resolved"),
            pagerduty("incident.priority_updated"),
            pagerduty_status_update(),
        ],
        Kind.INCIDENTIO: [incidentio_created(), incidentio_status(), incidentio_status("")],
        Kind.STATUSPAGE: [statuspage(OPENED, RESOLVED), statuspage_component()],
        Kind.GRAFANA: [grafana(alert("a1"), alert("a2", firing=False))],
        Kind.ALERTMANAGER: [alertmanager(), alertmanager(alert("a1", firing=False))],
        Kind.OPSGENIE: [opsgenie(), opsgenie("Close"), opsgenie(priority="P1")],
        Kind.CLOUDEVENTS: [cloudevent(), cloudevent(data=native(facts={"title": "Slow"}))],
        Kind.STANDARD_WEBHOOKS: [own_webhook()],
    }
