import random
from datetime import timedelta
from typing import Any

import pytest

from segments.audience import AUDIENCE_SQL, count, suppressed_endpoints
from segments.explain import UnknownContactError, explain
from segments.model import MAX_ID, AudienceQuery, Channel, Db, SuppressionReason
from segments.suppressions import Why, add_suppression
from tests.segments.builders import (
    KEY,
    NOW,
    account,
    contact,
    put_accounts,
    put_components,
    put_contacts,
    query,
    remove_account,
)

_COMPONENTS = ("checkout", "search", "reports")
_REGIONS = ("", "eu", "us")
_SEGMENTS = ("enterprise", "smb", "internal")


def _some(rng: random.Random, choices: Any, at_most: int) -> list[Any]:
    return rng.sample(list(choices), rng.randint(0, at_most))


def _random_contact(rng: random.Random, number: int) -> dict[str, Any]:
    """Few addresses, so that many are shared."""
    fields: dict[str, Any] = {"roles": _some(rng, ("admin", "billing"), 2)}
    if rng.random() < 0.8:
        fields["email"] = f"p{rng.randint(0, 25)}@example.com"
    if rng.random() < 0.7:
        fields["phone"] = f"+120255501{rng.randint(0, 25):02}"
        if rng.random() < 0.8:
            fields["sms_consent"] = {"granted": rng.random() < 0.8, "source": "form"}
    if rng.random() < 0.5:
        fields["app_user"] = f"u{number}"
    if rng.random() < 0.5:
        fields |= {
            "quiet_from": f"{rng.randint(0, 11):02}:30",
            "quiet_until": f"{rng.randint(12, 23)}:00",
        }
        if rng.random() < 0.5:
            fields["quiet_from"], fields["quiet_until"] = (
                fields["quiet_until"],
                fields["quiet_from"],
            )
    fields["time_zone"] = rng.choice(["", "Asia/Kolkata", "America/New_York"])
    fields["subscriptions"] = [
        {"component": component, "channel": channel, "wanted": rng.random() < 0.5}
        for component in _some(rng, (None, *_COMPONENTS), 2)
        for channel in ("email", "sms")
    ]
    return fields


async def _random_world(conn: Db, rng: random.Random) -> dict[str, int]:
    components = await put_components(conn, *_COMPONENTS)
    tiers = {"enterprise": {"tier": "enterprise"}, "smb": {}, "internal": {"kind": "staff"}}
    await put_accounts(
        conn,
        *(
            account(
                f"a{n}",
                attributes=tiers[rng.choice(_SEGMENTS)],
                time_zone=rng.choice(["UTC", "Europe/Paris"]),
                usage=[
                    {"component": component, "region": rng.choice(_REGIONS)}
                    for component in _some(rng, _COMPONENTS, 3)
                ],
            )
            for n in range(12)
        ),
    )
    await put_contacts(
        conn,
        *(contact(f"p{n}", f"a{rng.randint(0, 11)}", **_random_contact(rng, n)) for n in range(50)),
    )
    why = Why(SuppressionReason.BOUNCED, "receipt")
    for n in range(0, 25, 6):
        await add_suppression(conn, Channel.EMAIL, f"p{n}@example.com", why, hash_key=KEY, now=NOW)
        await add_suppression(conn, Channel.SMS, f"+120255501{n:02}", why, hash_key=KEY, now=NOW)
    await remove_account(conn, "a11")
    return components


def _random_query(rng: random.Random, components: list[int], accounts: list[int]) -> AudienceQuery:
    rules = [
        (segment, channel, rng.choice(["", "", "admin", "admin,billing"]))
        for segment in _SEGMENTS
        for channel in (1, 2, 4)
        if rng.random() < 0.8
    ]
    return AudienceQuery(
        rule_segments=tuple(rule[0] for rule in rules),
        rule_channels=tuple(rule[1] for rule in rules),
        rule_roles=tuple(rule[2] for rule in rules),
        component_ids=tuple(_some(rng, components, 3)),
        regions=tuple(_some(rng, ("eu", "us"), 1)),
        account_ids=tuple(_some(rng, accounts, 4)) if rng.random() < 0.3 else (),
        exclude_account_ids=tuple(_some(rng, accounts, 2)),
        segments=tuple(_some(rng, _SEGMENTS, 2)) if rng.random() < 0.3 else (),
        always_segments=("internal",) if rng.random() < 0.8 else (),
        visibility=rng.choice(["public", "customers", "customers", "internal"]),
        quiet_binds=rng.random() < 0.5,
    )


@pytest.mark.parametrize("seed", range(4))
async def test_explain_says_in_exactly_where_the_audience_has_a_row_that_can_go(
    conn: Db, seed: int
) -> None:
    rng = random.Random(seed)
    components = await _random_world(conn, rng)
    accounts = [row["id"] for row in await conn.fetch("select id from account")]
    contacts = await conn.fetch("select id, external_id from contact")

    for _ in range(6):
        now = NOW + timedelta(minutes=rng.randint(0, 1440))
        asked = _random_query(rng, list(components.values()), accounts)
        params = asked.params(0, MAX_ID, now, await suppressed_endpoints(conn))
        rows = await conn.fetch(AUDIENCE_SQL + " order by 1", *params)
        first: dict[tuple[int, int], tuple[int, Any]] = {}
        for row in rows:
            if row["reason"] == 0:
                key = (row["channel"], row["endpoint_id"])
                first.setdefault(key, (row["contact_id"], row["not_before"]))
        can_go = {(who, channel): at for (channel, _), (who, at) in first.items()}

        said = {
            (person["id"], verdict.channel): verdict.not_before
            for person in contacts
            for verdict in await explain(conn, asked, person["external_id"], now)
            if verdict.told
        }
        counted = sum(row.n for row in await count(conn, asked, now) if row.reason == 0)

        assert said == can_go, asked
        assert counted == len(can_go)


async def _reasons(conn: Db, asked: AudienceQuery, channel: Channel) -> tuple[bool, str]:
    for verdict in await explain(conn, asked, "ada", NOW):
        if verdict.channel is channel:
            return verdict.told, " ".join(verdict.reasons)
    raise AssertionError(channel)


async def test_the_reasons_are_sentences_that_end_with_the_one_that_decided(conn: Db) -> None:
    ids = await put_components(conn, "checkout")
    await put_accounts(
        conn,
        account("acme", usage=[{"component": "checkout", "region": "eu"}]),
        account("zeta", usage=[]),
    )
    shared = {"email": "ops@example.com"}
    await put_contacts(conn, contact("bob", "acme", **shared))
    await put_contacts(conn, contact("ada", "acme", phone="+12025550101", **shared))
    asked = query(component_ids=(ids["checkout"],))

    told, why = await _reasons(conn, asked, Channel.SMS)
    assert not told
    assert why == (
        "Segment smb, by rule 'everyone else'. "
        "Account Acme is affected through Checkout in eu. "
        "The policy allows text messages for segment smb. "
        "They have not unsubscribed from text messages. "
        "Text messages need consent, and none is on record."
    )

    told, why = await _reasons(conn, asked, Channel.EMAIL)
    assert not told
    assert why.endswith("Contact bob has the same e-mail address and gets the message.")

    told, why = await _reasons(conn, query(component_ids=(-1,)), Channel.EMAIL)
    assert not told
    assert why.endswith("Account Acme uses nothing that is affected.")

    await put_contacts(
        conn, contact("ada", "acme", app_user="u1", quiet_from="12:00", quiet_until="15:00")
    )
    told, why = await _reasons(
        conn, query(component_ids=(ids["checkout"],), quiet_binds=True), Channel.BANNER
    )
    assert told
    assert why.endswith("It waits for the end of their quiet hours (UTC).")


async def test_a_contact_nobody_knows_is_an_error(conn: Db) -> None:
    with pytest.raises(UnknownContactError, match="no contact 'ghost'"):
        await explain(conn, query(), "ghost", NOW)
