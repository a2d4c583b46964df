"""What each adapter makes of its sender's words, without any database."""

import base64
import copy
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from dispatcher.intake.adapters import ADAPTERS
from dispatcher.intake.model import (
    DraftProposal,
    Ignored,
    Kind,
    MalformedError,
    Reading,
    Request,
    UpdateProposal,
)
from dispatcher.intake.words import severity_of
from tests.intake import payloads
from tests.intake.payloads import Json, of_every_kind


def read(kind: Kind, body: object, **headers: str) -> Reading:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return ADAPTERS[kind].read(Request(body=raw, headers={"webhook-id": "msg_1", **headers}))


def draft(kind: Kind, body: object) -> DraftProposal:
    found = read(kind, body)
    assert isinstance(found, DraftProposal)
    return found


def update(kind: Kind, body: object) -> UpdateProposal:
    found = read(kind, body)
    assert isinstance(found, UpdateProposal)
    return found


def keys_of(found: Reading) -> list[str]:
    match found:
        case UpdateProposal():
            return [found.key]
        case DraftProposal():
            return [alert.key for alert in found.alerts]
        case Ignored():
            return []


@pytest.mark.parametrize("kind", Kind)
def test_fields_nobody_knows_change_nothing(kind: Kind) -> None:
    def more(value: Any) -> Any:
        match value:
            case dict():
                return {"zz new": {"a": [1]}, **{name: more(item) for name, item in value.items()}}
            case list():
                return [more(item) for item in value]
            case _:
                return value

    for body in of_every_kind()[kind]:
        wider = more(body)
        if "facts" in body.get("data", {}):
            wider["data"]["facts"] = body["data"]["facts"]  # these are ours, and strict
        assert read(kind, wider) == read(kind, body)


@pytest.mark.parametrize("kind", Kind)
def test_the_order_of_fields_and_the_spacing_change_nothing(kind: Kind) -> None:
    for body in of_every_kind()[kind]:
        backwards = dict(reversed(body.items()))
        spaced = orjson.dumps(backwards, option=orjson.OPT_INDENT_2)
        assert read(kind, spaced) == read(kind, body)


@pytest.mark.parametrize("kind", Kind)
def test_the_same_event_has_the_same_keys_and_different_ones_have_others(kind: Kind) -> None:
    proposals = [read(kind, body) for body in of_every_kind()[kind]]
    again = [read(kind, body) for body in of_every_kind()[kind]]
    assert [keys_of(item) for item in proposals] == [keys_of(item) for item in again]
    if kind in {Kind.PAGERDUTY, Kind.ALERTMANAGER, Kind.OPSGENIE}:
        one, two = proposals[:2]
        assert set(keys_of(one)).isdisjoint(keys_of(two))


WRONG: list[tuple[Kind, Json, str]] = [
    (Kind.PAGERDUTY, {}, "/event"),
    (Kind.PAGERDUTY, {"event": []}, "/event"),
    (Kind.PAGERDUTY, payloads.pagerduty(id=None), "/event/data/id"),
    (Kind.PAGERDUTY, payloads.pagerduty(title=["x"]), "/event/data/title"),
    (Kind.PAGERDUTY, payloads.pagerduty_status_update(incident=7), "/event/data/incident"),
    (
        Kind.INCIDENTIO,
        payloads.incidentio_status(new_status=None),
        "/public_incident.incident_status_updated_v2/new_status",
    ),
    (Kind.STATUSPAGE, {}, "/incident"),
    (Kind.STATUSPAGE, payloads.statuspage(id=""), "/incident/id"),
    (
        Kind.STATUSPAGE,
        payloads.statuspage(payloads.statuspage_update(1, "identified", "x", created_at="soon")),
        "/incident/incident_updates/0/created_at",
    ),
    (Kind.GRAFANA, payloads.grafana(groupKey=None), "/groupKey"),
    (
        Kind.ALERTMANAGER,
        payloads.alertmanager(payloads.alert() | {"status": "maybe"}),
        "/alerts/0/status",
    ),
    (Kind.ALERTMANAGER, payloads.alertmanager(truncatedAlerts="2"), "/truncatedAlerts"),
    (Kind.OPSGENIE, payloads.opsgenie(updatedAt=[1]), "/alert/updatedAt"),
    (Kind.OPSGENIE, payloads.opsgenie(tags=[1]), "/alert/tags/0"),
    (Kind.CLOUDEVENTS, payloads.cloudevent(specversion="0.3"), "/specversion"),
    (Kind.CLOUDEVENTS, payloads.cloudevent(data=payloads.native(status="broken")), "/data/status"),
    (
        Kind.CLOUDEVENTS,
        payloads.cloudevent(data=payloads.native(facts={"a/b": 1})),
        "/data/facts/a~1b",
    ),
    (
        Kind.CLOUDEVENTS,
        payloads.cloudevent(data=payloads.native(facts={"a\x00": 1})),
        "/data/facts/a",
    ),
    (
        Kind.CLOUDEVENTS,
        payloads.cloudevent(data=payloads.native(facts={"x" * 5000: 1})),
        "/data/facts/" + "x" * 187 + "…",
    ),
    (
        Kind.CLOUDEVENTS,
        payloads.cloudevent(data=payloads.native(next_update_by="9999-12-31T23:59:59Z")),
        "/data/next_update_by",
    ),
    (Kind.STANDARD_WEBHOOKS, payloads.own_webhook(data=None), "/data"),
    (
        Kind.STANDARD_WEBHOOKS,
        payloads.own_webhook(data=payloads.native(next_update_by="2026-11-22T14:30:00")),
        "/data/next_update_by",
    ),
]


@pytest.mark.parametrize(("kind", "body", "pointer"), WRONG, ids=lambda value: str(value)[:40])
def test_what_is_used_must_be_what_it_should_be_and_is_pointed_at(
    kind: Kind, body: Json, pointer: str
) -> None:
    with pytest.raises(MalformedError) as caught:
        read(kind, body)
    assert caught.value.pointer == pointer


def test_a_group_of_alerts_ends_only_when_all_of_it_has_ended() -> None:
    both = payloads.alert("a1", firing=False), payloads.alert("a2", firing=False)
    mixed = payloads.alert("a1", firing=False), payloads.alert("a2")
    assert draft(Kind.ALERTMANAGER, payloads.alertmanager(*both)).ended
    # Grafana says firing on top while two of three have ended; others say resolved and leave some out.
    assert not draft(Kind.GRAFANA, payloads.grafana(*mixed)).ended
    assert not draft(Kind.ALERTMANAGER, payloads.alertmanager(*both, truncatedAlerts=3)).ended
    found = draft(Kind.GRAFANA, payloads.grafana(*mixed))
    assert found.heading == "Grafana: 1 firing, 1 resolved"
    assert [alert.firing for alert in found.alerts] == [False, True]


def test_an_alert_of_an_old_alertmanager_or_a_poor_one_is_read_too() -> None:
    body = payloads.alertmanager(payloads.alert() | {"annotations": None, "labels": {}})
    del body["truncatedAlerts"]
    body["commonLabels"] = None
    found = draft(Kind.ALERTMANAGER, body)
    assert found.severity == ""
    assert "an alert without a name" in found.alerts[0].text


def test_a_group_of_unlike_alerts_is_as_bad_as_the_worst_of_them() -> None:
    group = [payloads.alert("a", severity="warning"), payloads.alert("b", severity="critical")]
    body = payloads.alertmanager(*group, commonLabels={})
    assert draft(Kind.ALERTMANAGER, body).severity == "critical"


@pytest.mark.parametrize(("priority", "word"), [(3, "P3"), ("P1", "P1"), (None, "")])
def test_opsgenie_counts_priorities_in_two_ways(priority: object, word: str) -> None:
    assert draft(Kind.OPSGENIE, payloads.opsgenie(priority=priority)).severity == word


def test_opsgenie_names_one_alert_in_milliseconds_and_nanoseconds() -> None:
    found = draft(Kind.OPSGENIE, payloads.opsgenie("Close"))
    assert found.ended
    assert found.alerts[0].key.endswith("Close\n1795356000000000110")


@pytest.mark.parametrize(
    ("updated_at", "at"),
    [
        (1795356000000, datetime(2026, 11, 22, 14, 0, tzinfo=UTC)),
        (1795356000000000110, datetime(2026, 11, 22, 14, 0, tzinfo=UTC)),
        ("1795356000000", datetime(2026, 11, 22, 14, 0, tzinfo=UTC)),
        ("yesterday", None),
        (-1, None),
        ("9" * 40, None),
    ],
)
def test_opsgenie_says_when_it_was_in_either_unit(updated_at: object, at: datetime | None) -> None:
    assert draft(Kind.OPSGENIE, payloads.opsgenie(updatedAt=updated_at)).at == at


def test_what_customers_are_to_name_when_they_call_can_be_read_out() -> None:
    opened, closed = (draft(Kind.OPSGENIE, payloads.opsgenie(act)) for act in ("Create", "Close"))
    assert opened.incident_key == closed.incident_key
    assert len(opened.incident_key) <= 14
    other = payloads.opsgenie(alertId="ec03dad6-62c8-4c94-b38b-000000000002")
    assert draft(Kind.OPSGENIE, other).incident_key != opened.incident_key


def test_colleagues_read_since_when_and_on_which_machine_in_plain_words() -> None:
    (first, _) = draft(Kind.ALERTMANAGER, payloads.alertmanager()).alerts
    assert first.text.splitlines()[0] == "CheckoutSlow (firing, since 2026-11-22 14:00 UTC)"
    assert first.text.splitlines()[-1] == "instance=db-a1"
    odd = payloads.alert() | {"startsAt": "yesterday", "labels": {"n": 1, "__x__": "y"}}
    (only,) = draft(Kind.ALERTMANAGER, payloads.alertmanager(odd)).alerts
    assert "since yesterday" in only.text
    assert "=" not in only.text


def test_the_newest_update_of_statuspage_is_the_latest_whatever_the_order() -> None:
    body = payloads.statuspage(payloads.OPENED, payloads.RESOLVED)
    backwards = copy.deepcopy(body)
    backwards["incident"]["incident_updates"].reverse()
    assert update(Kind.STATUSPAGE, body) == update(Kind.STATUSPAGE, backwards)
    found = update(Kind.STATUSPAGE, body)
    assert (found.key, found.passed, found.status) == ("update:upd9", ("update:upd1",), "resolved")
    assert found.components == ("cmp1", "Shop")


def test_maintenance_of_statuspage_is_planned_work() -> None:
    planned = payloads.statuspage_update(1, "scheduled", "We move a database.")
    body = payloads.statuspage(planned, impact="none", scheduled_for="2026-12-01T00:00:00Z")
    found = update(Kind.STATUSPAGE, body)
    assert (found.status, found.severity) == ("scheduled", "maintenance")
    assert severity_of(found.severity, {}) == "planned"


def test_a_text_that_pagerduty_cut_is_for_a_person_to_finish() -> None:
    found = draft(Kind.PAGERDUTY, payloads.pagerduty_status_update(trimmed=True))
    assert "Some card payments fail" in found.alerts[0].text


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ({"name": "Fixing", "category": "live"}, "identified"),
        ({"name": "Monitoring", "category": "live"}, "monitoring"),
        ({"name": "Paging Bob", "category": "live"}, None),
        ({"name": "Retro", "category": "learning"}, "resolved"),
        ({"name": "New", "category": "triage"}, "investigating"),
    ],
)
def test_the_states_of_incident_io_are_read_by_name_and_then_by_category(
    state: Json, status: str | None
) -> None:
    found = update(Kind.INCIDENTIO, payloads.incidentio_status(new_status=state))
    assert (found.status, found.incident_key) == (status, "INC-123")


def test_a_status_of_incident_io_without_words_is_a_draft() -> None:
    assert draft(Kind.INCIDENTIO, payloads.incidentio_status("")).ended
    assert isinstance(
        read(Kind.INCIDENTIO, payloads.incidentio_status(new_status={"category": "declined"})),
        Ignored,
    )


def test_the_data_of_a_cloudevent_may_be_base64_and_its_facts_are_ours() -> None:
    data = payloads.native(facts={"title": "Slow", "next_update_by": None})
    data["incident"]["severity"] = "P0"
    event = payloads.cloudevent(
        data=None, data_base64=base64.b64encode(orjson.dumps(data)).decode()
    )
    found = update(Kind.CLOUDEVENTS, event)
    assert (found.key, found.severity) == ("/monitoring/eu-1\nA234-1", "P0")
    assert (found.facts.title, found.facts.next_update_by) == ("Slow", None)
    assert found.next_update_by == datetime(2099, 11, 22, 14, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("word", "own", "severity"),
    [
        ("P2", {}, "P2"),
        ("P5", {}, "P3"),
        (" Critical ", {}, "P1"),
        ("critical", {"Critical": "P0"}, "P0"),
        ("sev-unknown", {}, None),
        ("SEV-1", {"sev-1": "P0"}, "P0"),
        ("", {}, None),
    ],
)
def test_the_operators_word_for_a_severity_goes_before_the_usual_one(
    word: str, own: dict[str, Any], severity: str | None
) -> None:
    assert severity_of(word, own) == severity


def test_a_batch_of_cloudevents_is_refused_with_what_to_do() -> None:
    with pytest.raises(MalformedError) as caught:
        read(
            Kind.CLOUDEVENTS,
            b"[" + orjson.dumps(payloads.cloudevent()) + b"]",
            **{"content-type": "application/cloudevents-batch+json; charset=utf-8"},
        )
    assert caught.value.pointer == "content-type"
    assert "each event in a request of its own" in caught.value.detail


def binary(**changed: str | None) -> dict[str, str]:
    """The headers of a binary event, with some of them changed or left out."""
    event = payloads.cloudevent()
    names = ("specversion", "type", "source", "id", "time")
    headers = {f"ce-{name}": changed.get(name, event[name]) for name in names}
    return {name: text for name, text in headers.items() if text is not None}


def test_what_a_binary_cloudevent_writes_with_per_cent_signs_is_what_a_structured_one_says() -> (
    None
):
    event = payloads.cloudevent(source="/überwachung/eu 1")
    headers = binary(source="/%C3%BCberwachung/eu%201")
    plain = {"content-type": "application/json"}
    assert read(Kind.CLOUDEVENTS, event["data"], **headers, **plain) == read(
        Kind.CLOUDEVENTS, event
    )
    # What the content type says goes before headers that a proxy may have added.
    structured = {"content-type": "application/cloudevents+json"}
    assert read(Kind.CLOUDEVENTS, event, **headers, **structured) == read(Kind.CLOUDEVENTS, event)
    with pytest.raises(MalformedError) as caught:
        read(Kind.CLOUDEVENTS, event["data"], **binary(id=None))
    assert caught.value.pointer == "ce-id"


@pytest.mark.parametrize(
    "kind", [Kind.PAGERDUTY, Kind.INCIDENTIO, Kind.CLOUDEVENTS, Kind.STANDARD_WEBHOOKS]
)
def test_senders_that_say_when_it_was_are_believed(kind: Kind) -> None:
    for body in of_every_kind()[kind]:
        found = read(kind, body)
        assert isinstance(found, Ignored) or found.at is not None
