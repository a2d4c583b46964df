"""Customers one by one, addresses that must not be used, and files of deliveries."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dispatcher.app import running
from dispatcher.cli.incidents import promised
from dispatcher.cli.update import EXAMPLE
from dispatcher.config import Settings
from dispatcher.db import Connection
from dispatcher.stages.report import run_export
from dispatcher.web.models import Incident
from tests.cli.conftest import Tidings
from tests.flow.story import contact, plan_out, post, seed, update

ANN = '{"name": "Ann", "account": "acme", "email": "ann@example.com"}'
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


INCIDENT = Incident(
    id="inc_x",
    source="monitoring",
    external_id="INC-42",
    title="Some customers cannot check out",
    severity="P1",
    status="investigating",
    visibility="public",
    lead="",
    component_ids=[],
    started_at=NOW,
    resolved_at=None,
    next_update_by=None,
    page="",
)


@pytest.mark.parametrize(
    ("left", "says"),
    [
        (timedelta(minutes=42, seconds=5), "in 42 min"),
        (timedelta(minutes=-65), "OVERDUE by 1 h 05 min"),
        (timedelta(days=3), "in 3 days"),
    ],
)
def test_the_minutes_left_to_a_promise_are_told(left: timedelta, says: str) -> None:
    assert promised(INCIDENT.model_copy(update={"next_update_by": NOW + left}), NOW) == says


def test_what_is_over_or_was_not_promised_is_not_late() -> None:
    assert promised(INCIDENT, NOW) == "none promised"
    assert promised(INCIDENT.model_copy(update={"resolved_at": NOW}), NOW) == "over"


async def test_a_customer_who_is_removed_is_told_nothing_until_set_again(
    tidings: Tidings, conn: Connection
) -> None:
    made = [
        await tidings("components", "set", "checkout", "-", stdin="name: checkout-api"),
        await tidings(
            "accounts", "set", "acme", "-", stdin="{name: Acme, usage: [{component: checkout}]}"
        ),
        await tidings(
            "contacts",
            "set",
            "ann",
            "-",
            stdin='{"name": "Ann", "account": "acme", "email": "ann@example.com"}',
        ),
    ]
    assert [(one.code, one.out) for one in made] == [
        (0, "checkout: created.\n"),
        (0, "acme: created.\n"),
        (0, "ann: created.\n"),
    ]
    assert "would be told" in (await tidings("audience", "count", "-", stdin=EXAMPLE)).out
    assert (await tidings("accounts", "remove", "acme")).out == "acme: removed.\n"
    assert (await tidings("accounts", "remove", "acme")).code == 2
    assert "Nobody" in (await tidings("audience", "count", "-", stdin=EXAMPLE)).out
    assert "removed" in (await tidings("accounts", "list")).out
    again = await tidings("accounts", "set", "acme", "-", stdin="name: Acme")
    assert again.out == "acme: updated.\n"
    assert "would be told" in (await tidings("audience", "count", "-", stdin=EXAMPLE)).out
    who = await conn.fetch("select actor, action from audit order by at, action")
    assert {row["actor"] for row in who} == {"cli"}
    assert "account.remove" in {row["action"] for row in who}


async def test_somebody_is_forgotten_only_when_that_is_said_twice(
    tidings: Tidings, settings: Settings
) -> None:
    async with running(settings) as ctx:
        await seed(ctx, [contact(1, "small")])
    asked = await tidings("contacts", "erase", "c1")
    assert (asked.code, "--yes" in asked.err) == (2, True)
    masked, whole = [
        await tidings("contacts", "show", "c1", *more) for more in ([], ["--addresses"])
    ]
    assert "p•••@example.com" in masked.out
    assert "Person 1" not in masked.out
    assert "person1@example.com" in whole.out
    assert (await tidings("contacts", "erase", "c1", "--yes")).out == "c1: erased.\n"
    gone = await tidings("contacts", "show", "c1")
    assert (gone.code, gone.err) == (2, "tidings: There is no such contact: 'c1'.\n")


async def test_an_address_is_suppressed_and_allowed_again(tidings: Tidings) -> None:
    added, again, listed = [
        await tidings("suppressions", "add", "email", "-", stdin="ann@example.com\n"),
        await tidings("suppressions", "add", "email", "ann@example.com", "--json"),
        await tidings("suppressions", "list"),
    ]
    assert added.out == "It will not be used again.\n"
    assert again.json == {"result": "unchanged"}
    assert "operator" in listed.out
    assert (await tidings("suppressions", "remove", "email", "ann@example.com")).code == 0
    assert (await tidings("suppressions", "remove", "email", "ann@example.com")).code == 2


async def test_a_file_of_deliveries_is_whole_or_not_there(
    tidings: Tidings, settings: Settings, conn: Connection, tmp_path: Path
) -> None:
    async with running(settings) as ctx:
        await seed(ctx, [contact(n, "small") for n in range(3)])
        await plan_out(ctx, await post(ctx, update(ctx)))
        made: Any = (await tidings("exports", "create", "--json")).json
        await run_export(ctx, await conn.fetchval("select id from export"))
    (tmp_path / "old.csv").write_text("what was there")
    (tmp_path / "folder").mkdir()
    for place in ("nowhere/file.csv", "folder"):
        lost = await tidings("exports", "fetch", made["id"], place)
        assert (lost.code, "cannot be written" in lost.err) == (2, True)
    fetched = await tidings("exports", "fetch", made["id"], "old.csv")
    assert fetched.out == "9 deliveries in old.csv.\n"
    assert len((tmp_path / "old.csv").read_text().splitlines()) == 10
    assert set(os.listdir(tmp_path)) <= {"old.csv", "folder", "embedded"}  # noqa: PTH208 - as asynchronous tests may
