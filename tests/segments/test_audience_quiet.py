"""Quiet hours in the audience: those of the person, where the person is, also while the clocks change."""

from datetime import datetime, time, timedelta

import pytest

from segments.explain import explain
from segments.model import Db
from segments.quiet import quiet_end
from tests.segments.builders import (
    NOW,
    account,
    audience,
    contact,
    put_accounts,
    put_contacts,
    query,
)


@pytest.mark.parametrize(
    ("quiet", "zone", "hour", "waits_until"),
    [
        (("22:00", "07:00"), "UTC", 23, "2026-11-23T07:00+00:00"),
        (("22:00", "07:00"), "UTC", 3, "2026-11-22T07:00+00:00"),
        (("22:00", "07:00"), "UTC", 7, None),
        (("22:00", "07:00"), "UTC", 22, "2026-11-23T07:00+00:00"),
        (("12:00", "14:00"), "UTC", 13, "2026-11-22T14:00+00:00"),
        (("12:00", "14:00"), "UTC", 14, None),
        (("22:00", "07:00"), "Asia/Tokyo", 14, "2026-11-22T22:00+00:00"),
        (("22:00", "07:00"), "America/New_York", 14, None),
        (("22:00", "07:00"), None, 21, "2026-11-23T06:00+00:00"),
    ],
)
async def test_quiet_hours_are_those_of_the_contact_in_its_own_zone(
    conn: Db, quiet: tuple[str, str], zone: str | None, hour: int, waits_until: str | None
) -> None:
    await put_accounts(conn, account("us", attributes={"kind": "staff"}, time_zone="Europe/Paris"))
    fields = {"quiet_from": quiet[0], "quiet_until": quiet[1]} | (
        {"time_zone": zone} if zone else {}
    )
    await put_contacts(conn, contact("ada", "us", email="ada@example.com", **fields))
    now = NOW.replace(hour=hour)
    expected = datetime.fromisoformat(waits_until) if waits_until else now

    binding = await audience(conn, query(quiet_binds=True), now)
    not_binding = await audience(conn, query(quiet_binds=False), now)

    assert {row["not_before"] for row in binding} == {expected}
    assert {row["not_before"] for row in not_binding} == {now}


@pytest.mark.fault(35)
@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("Europe/Berlin", "2026-03-29T01:00+00:00"),
        ("Europe/Berlin", "2026-10-25T01:00+00:00"),
        ("America/New_York", "2026-03-08T07:00+00:00"),
        ("America/New_York", "2026-11-01T06:00+00:00"),
        ("Pacific/Auckland", "2026-04-04T14:00+00:00"),
        ("Pacific/Auckland", "2026-09-26T14:00+00:00"),
    ],
)
async def test_statement_and_program_agree_on_quiet_hours_while_the_clocks_change(
    conn: Db, zone: str, change: str
) -> None:
    await put_accounts(conn, account("us", attributes={"kind": "staff"}, time_zone=zone))
    windows = [("22:00", "01:30"), ("22:00", "02:30"), ("02:15", "02:45"), ("01:15", "06:00")]
    for number, (start, end) in enumerate(windows):
        hours = {"quiet_from": start, "quiet_until": end}
        await put_contacts(
            conn, contact(f"p{number}", "us", email=f"p{number}@example.com", **hours)
        )
    for minutes in range(-150, 180, 20):
        now = datetime.fromisoformat(change) + timedelta(minutes=minutes)
        found = await audience(conn, query(quiet_binds=True), now)
        told = {row["contact_id"]: row["not_before"] for row in found}
        assert [told[contact_id] for contact_id in sorted(told)] == [
            quiet_end(now, zone, time.fromisoformat(start), time.fromisoformat(end))
            for start, end in windows
        ], now


@pytest.mark.parametrize("unknown", ["Mars/Olympus", "", "not a zone"])
async def test_a_zone_the_database_does_not_know_is_taken_for_utc(conn: Db, unknown: str) -> None:
    await put_accounts(conn, account("us", attributes={"kind": "staff"}))
    hours = {"quiet_from": "22:00", "quiet_until": "07:00"}
    for name in ("ada", "bob"):
        await put_contacts(conn, contact(name, "us", email=f"{name}@example.com", **hours))
    await conn.execute("update account set time_zone = $1", unknown)
    await conn.execute("update contact set time_zone = 'Asia/Tokyo' where external_id = 'bob'")
    now = NOW.replace(hour=23)
    asked = query(quiet_binds=True)

    found = {row["contact_id"]: row["not_before"] for row in await audience(conn, asked, now)}

    assert sorted(found.values()) == [now, datetime.fromisoformat("2026-11-23T07:00+00:00")]
    told_ada = (await explain(conn, asked, "ada", now))[0]
    assert told_ada.not_before == max(found.values())
