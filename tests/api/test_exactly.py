"""Nothing in a body is taken for what it is not, at whatever depth; what may be null may be null."""

from typing import Any

import pytest

from tests.web.client import Api

WEBHOOK = {"url": "https://hooks.example.com/", "events": ["source.error"]}
CONTACT = {"account": "small", "name": "Ada"}
WISH = {"component": None, "channel": "sms", "wanted": True}

KEY = {"name": "x", "scopes": ["admin"]}
SOURCE = {"kind": "pagerduty", "name": "x"}

MISTAKEN: list[tuple[str, dict[str, Any], str, str]] = [
    ("webhooks", {**WEBHOOK, "events": ["source.error"] * 2}, "/events/1", "given_twice"),
    ("keys", {**KEY, "expires_in_days": "7"}, "/expires_in_days", "int_type"),
    ("keys", {**KEY, "expires_in_days": True}, "/expires_in_days", "int_type"),
    ("sources", {**SOURCE, "trust_titles": "yes"}, "/trust_titles", "bool_type"),
    ("sources", {**SOURCE, "networks": [False]}, "/networks/0", "value_error"),
]


@pytest.mark.usefixtures("people")
async def test_a_value_of_another_type_is_pointed_at(api: Api) -> None:
    for path, body, pointer, code in MISTAKEN:
        answer = await api.call("POST", f"/v1/{path}", body)
        found = [(item["pointer"], item["code"]) for item in answer.json.get("errors", ())]
        assert (answer.status, found) == (422, [(pointer, code)]), (path, answer.body)
    good = {**CONTACT, "account": "small", "email": None, "quiet_from": None, "quiet_until": ""}
    assert (
        await api.call("PUT", "/v1/contacts/ada", {**good, "subscriptions": [WISH]})
    ).status == 201
    assert (
        await api.call(
            "POST", "/v1/keys", {"name": "x", "scopes": ["admin"], "expires_in_days": 7.0}
        )
    ).status == 201


async def test_a_moment_is_written_out(api: Api) -> None:
    for value in ("5", 5):
        body = {
            "source": "s",
            "incident": {"external_id": "x", "severity": "P1"},
            "status": "identified",
            "facts": {"next_update_by": value},
        }
        answer = await api.update(body)
        assert [item["pointer"] for item in answer.json["errors"]] == ["/facts/next_update_by"]
    assert (await api.get("/v1/audit?since=0.5")).kind == "invalid-query"
    assert (await api.get("/v1/audit?since=2026-01-01T00:00:00Z")).status == 200


async def test_a_moment_that_no_calendar_has_is_refused(api: Api) -> None:
    for value in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59Z"):
        body = {
            "source": "s",
            "incident": {"external_id": "x", "severity": "P1"},
            "status": "identified",
            "facts": {"next_update_by": value},
        }
        answer = await api.update(body)
        found = [item["pointer"] for item in answer.json.get("errors", ())]
        assert (answer.status, found) == (422, ["/facts/next_update_by"]), value
        answer = await api.get(f"/v1/audit?since={value.replace('+', '%2B')}")
        assert (answer.status, answer.kind) == (400, "invalid-query"), value
