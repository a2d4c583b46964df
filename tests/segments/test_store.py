import asyncio
from datetime import UTC, datetime
from typing import Any

import asyncpg

from segments.model import Channel, Db, Outcome, SuppressionReason
from segments.records import ComponentIn
from segments.store import (
    erase_contact,
    upsert_components,
    upsert_contacts,
)
from segments.suppressions import Why, add_suppression, list_suppressions
from tests.segments.builders import (
    KEY,
    LATER,
    NOW,
    account,
    contact,
    put_accounts,
    put_components,
    put_contacts,
    remove_account,
)

_LIVE = """
    select a.value from contact c
    join contact_endpoint ce on ce.contact_id = c.id and ce.removed_at is null
    join address a on a.id = ce.address_id
    where c.external_id = $1 order by ce.channel
"""


async def addresses(conn: Db, external_id: str) -> list[str]:
    return [row["value"] for row in await conn.fetch(_LIVE, external_id)]


async def test_what_is_new_is_created_and_the_same_again_changes_nothing(conn: Db) -> None:
    await put_components(conn, "checkout")
    acme = account("acme", attributes={"tier": "enterprise"}, usage=[{"component": "checkout"}])
    ada = contact(
        "ada",
        "acme",
        email="ada@example.com",
        phone="+12025550123",
        roles=["admin", "billing"],
        quiet_from="22:00",
        quiet_until="07:00",
        sms_consent={"granted": True, "source": "sign-up form", "wording": "Text me"},
        subscriptions=[{"component": "checkout", "channel": "sms", "wanted": False}],
    )

    assert await put_accounts(conn, acme) == Outcome(created=1)
    assert await put_contacts(conn, ada) == Outcome(created=1)
    assert await put_accounts(conn, acme, now=LATER) == Outcome(unchanged=1)
    assert await put_contacts(conn, ada, now=LATER) == Outcome(unchanged=1)
    assert await conn.fetchval("select count(*) from consent") == 1
    assert await conn.fetchval("select count(*) from contact_version") == 1
    assert await conn.fetchval("select updated_at from contact") == NOW


async def test_the_segment_is_stored_with_the_rule_that_decided(conn: Db) -> None:
    await put_accounts(conn, account("acme", attributes={"seats": 900}))

    row = await conn.fetchrow("select segment, segment_rule, attributes::text from account")
    assert row is not None
    assert tuple(row) == ("enterprise", "large by seats", '{"seats": 900}')


async def test_what_a_record_omits_stays_and_what_it_clears_goes(conn: Db) -> None:
    await put_components(conn, "checkout")
    await put_accounts(
        conn,
        account(
            "acme",
            attributes={"tier": "strategic"},
            region="eu",
            time_zone="Europe/Paris",
            usage=[{"component": "checkout", "region": "eu"}],
        ),
    )
    await put_contacts(
        conn, contact("ada", "acme", email="ada@example.com", app_user="u1", roles=["admin"])
    )

    assert await put_accounts(conn, account("acme", region="")) == Outcome(updated=1)
    assert await put_contacts(conn, contact("ada", "acme", app_user=None)) == Outcome(updated=1)

    row = await conn.fetchrow("select segment, region, time_zone from account")
    assert row is not None
    assert tuple(row) == ("enterprise", "", "Europe/Paris")
    assert await conn.fetchval("select count(*) from usage") == 1
    assert await addresses(conn, "ada") == ["ada@example.com"]
    assert await conn.fetchval("select roles from contact") == ["admin"]


async def test_usage_that_is_given_replaces_what_was_there(conn: Db) -> None:
    ids = await put_components(conn, "checkout", "search")
    await put_accounts(conn, account("acme", usage=[{"component": "checkout"}]))

    outcome = await put_accounts(
        conn, account("acme", usage=[{"component": "search", "region": "eu"}] * 2)
    )

    assert outcome == Outcome(updated=1)
    used = [tuple(row) for row in await conn.fetch("select component_id, region from usage")]
    assert used == [(ids["search"], "eu")]


async def test_a_public_name_follows_the_name_until_it_is_given(conn: Db) -> None:
    async def put(**fields: Any) -> str:
        record = ComponentIn.model_validate({"external_id": "pay", **fields})
        await upsert_components(conn, [(0, record)], now=NOW)
        public_name: str = await conn.fetchval("select public_name from component")
        return public_name

    assert await put(name="pay-svc") == "pay-svc"
    assert await put(name="pay-svc", public_name="Payments") == "Payments"
    assert await put(name="pay-api") == "Payments"
    assert await put(name="pay-api", public_name="") == "pay-api"


async def test_a_new_address_leaves_the_old_one_for_the_record(conn: Db) -> None:
    await put_accounts(conn, account("acme"))
    await put_contacts(conn, contact("ada", "acme", email="old@example.com"))
    await put_contacts(conn, contact("ada", "acme", email="new@example.com"), now=LATER)

    assert await addresses(conn, "ada") == ["new@example.com"]
    assert await conn.fetchval("select count(*) from address") == 2
    removed = await conn.fetch(
        "select removed_at from contact_endpoint where removed_at is not null"
    )
    assert [row["removed_at"] for row in removed] == [LATER]


async def test_an_address_that_comes_back_is_the_same_endpoint(conn: Db) -> None:
    await put_accounts(conn, account("acme"))
    for email in ("old@example.com", "new@example.com", "old@example.com"):
        await put_contacts(conn, contact("ada", "acme", email=email))

    assert await addresses(conn, "ada") == ["old@example.com"]
    assert await conn.fetchval("select count(*) from endpoint") == 2


async def test_two_contacts_may_swap_addresses_in_one_go(conn: Db) -> None:
    await put_accounts(conn, account("acme"))
    one, two = "one@example.com", "two@example.com"
    await put_contacts(conn, contact("ada", "acme", email=one), contact("bob", "acme", email=two))
    await put_contacts(conn, contact("ada", "acme", email=two), contact("bob", "acme", email=one))

    assert await addresses(conn, "ada") == [two]
    assert await addresses(conn, "bob") == [one]


async def test_a_shared_inbox_is_one_endpoint_in_any_spelling(conn: Db) -> None:
    await put_accounts(conn, account("acme"))
    await put_contacts(
        conn,
        contact("ada", "acme", email="Ops@example.com"),
        contact("bob", "acme", email="ops@Example.com"),
    )

    assert await conn.fetchval("select count(*) from endpoint") == 1
    assert await conn.fetchval("select count(*) from contact_endpoint") == 2


async def test_a_new_name_is_a_new_version(conn: Db) -> None:
    await put_accounts(conn, account("acme"))
    await put_contacts(conn, contact("ada", "acme"))
    before = await conn.fetchval("select version_id from contact")

    await put_contacts(conn, contact("ada", "acme", name="Ada Lovelace"), now=LATER)

    versions = await conn.fetch("select id, name from contact_version order by id")
    assert [row["name"] for row in versions] == ["Ada", "Ada Lovelace"]
    assert versions[0]["id"] == before
    assert await conn.fetchval("select version_id from contact") == versions[1]["id"]


async def test_consent_is_for_the_number_it_was_given_for(conn: Db) -> None:
    await put_accounts(conn, account("acme"))
    agreed = {"granted": True, "source": "form"}
    await put_contacts(conn, contact("ada", "acme", phone="+12025550101", sms_consent=agreed))
    await put_contacts(conn, contact("ada", "acme", phone="+12025550102"))

    assert (
        await conn.fetchval("select consented from contact_endpoint where removed_at is null")
        is None
    )


async def test_taking_consent_back_is_appended(conn: Db) -> None:
    await put_accounts(conn, account("acme"))
    for granted in (True, False, False, True):
        said = {"granted": granted, "source": "form"}
        await put_contacts(conn, contact("ada", "acme", phone="+12025550101", sms_consent=said))

    said_so = [
        row["granted"] for row in await conn.fetch("select granted from consent order by id")
    ]
    assert said_so == [True, False, True]
    assert await conn.fetchval("select consented from contact_endpoint") is True


async def test_a_contact_of_an_unknown_account_is_a_problem_and_nothing_is_written(
    conn: Db,
) -> None:
    await put_accounts(conn, account("acme"), account("gone"))
    await remove_account(conn, "gone")
    records = [(2, contact("ada", "acme")), (3, contact("bob", "acne")), (4, contact("c", "gone"))]

    outcome = await upsert_contacts(conn, records, hash_key=KEY, now=NOW)

    assert [(p.line, p.field) for p in outcome.problems] == [(3, "account"), (4, "account")]
    assert '"acne"' in outcome.problems[0].reason
    assert await conn.fetchval("select count(*) from contact") == 0


async def test_told_to_keep_going_the_good_records_are_written(conn: Db) -> None:
    await put_accounts(conn, account("acme"))
    wish = [{"component": "nothing", "channel": "email", "wanted": True}]
    records = [
        (2, contact("ada", "acme", email="ada@example.com")),
        (3, contact("bob", "acme", email="bob@example.com", subscriptions=wish)),
        (4, contact("ada", "acme", email="other@example.com")),
    ]

    outcome = await upsert_contacts(conn, records, hash_key=KEY, now=NOW, keep_going=True)

    assert outcome.created == 1
    assert [(p.line, p.field) for p in outcome.problems] == [
        (3, "subscriptions"),
        (4, "external_id"),
    ]
    assert outcome.problems[1].reason == "occurs before, on line 2."
    assert await addresses(conn, "ada") == ["ada@example.com"]


async def test_an_account_that_uses_an_unknown_component_is_a_problem(conn: Db) -> None:
    outcome = await put_accounts(conn, account("acme", usage=[{"component": "chekout"}]))

    assert [(p.field, '"chekout"' in p.reason) for p in outcome.problems] == [("usage", True)]
    assert await conn.fetchval("select count(*) from account") == 0


async def test_a_removed_account_comes_back_with_its_next_record(conn: Db) -> None:
    await put_accounts(conn, account("acme"))
    await remove_account(conn, "acme")

    assert await put_accounts(conn, account("acme")) == Outcome(updated=1)
    assert await conn.fetchval("select removed_at from account") is None


async def test_writers_of_the_same_records_at_once_both_succeed(
    conn: Db, database_url: str
) -> None:
    await put_accounts(conn, account("acme"))
    records = [contact(f"p{n}", "acme", email=f"p{n % 3}@example.com") for n in range(20)]

    async def write(order: int) -> Outcome:
        own = await asyncpg.connect(database_url)
        try:
            return await put_contacts(own, *records[::order])
        finally:
            await own.close()

    outcomes = await asyncio.gather(write(1), write(-1), write(1))

    assert sum(outcome.created for outcome in outcomes) == 20
    assert await conn.fetchval("select count(*) from address") == 3


async def test_erasing_blanks_the_person_and_keeps_the_record(conn: Db) -> None:
    await put_accounts(conn, account("acme"))
    await put_contacts(conn, contact("ada", "acme", name="Ada L", email="old@example.com"))
    await put_contacts(
        conn,
        contact(
            "ada",
            "acme",
            name="Ada Lovelace",
            email="ada@example.com",
            phone="+12025550101",
            sms_consent={"granted": True, "source": "form of Ada"},
            subscriptions=[{"channel": "email", "wanted": True}],
        ),
    )

    assert await erase_contact(conn, "ada", LATER)
    assert not await erase_contact(conn, "ada", LATER)

    assert await conn.fetchval("select count(*) from contact_version where name is not null") == 0
    left = await conn.fetch("select value, hash, erased_at from address")
    assert [tuple(row) for row in left] == [(None, None, LATER)] * 3
    row = await conn.fetchrow("select external_id, erased_at, removed_at from contact")
    assert row is not None
    assert tuple(row) == (None, LATER, LATER)
    assert (
        await conn.fetchval("select count(*) from contact_endpoint where removed_at is null") == 0
    )
    assert await conn.fetchval("select string_agg(source, '') from consent") == ""


async def test_erasing_leaves_an_inbox_that_somebody_else_uses(conn: Db) -> None:
    await put_accounts(conn, account("acme"))
    await put_contacts(
        conn,
        contact("ada", "acme", email="ops@example.com"),
        contact("bob", "acme", email="ops@example.com"),
    )

    await erase_contact(conn, "ada", LATER)
    assert await addresses(conn, "bob") == ["ops@example.com"]

    await erase_contact(conn, "bob", LATER)
    assert await conn.fetchval("select value from address") is None


async def test_an_erased_address_stays_suppressed_when_it_is_imported_again(conn: Db) -> None:
    await put_accounts(conn, account("acme"))
    ada = contact("ada", "acme", email="ada@example.com")
    await put_contacts(conn, ada)
    why = Why(SuppressionReason.OPTED_OUT, "unsubscribe link")
    await add_suppression(conn, Channel.EMAIL, "ada@example.com", why, hash_key=KEY, now=NOW)

    await erase_contact(conn, "ada", LATER)
    assert await put_contacts(conn, ada, now=LATER) == Outcome(created=1)

    (found,) = await list_suppressions(conn)
    assert found.address == "ada@example.com"


async def test_times_are_those_the_caller_gave(conn: Db) -> None:
    then = datetime(2001, 1, 1, tzinfo=UTC)
    await put_accounts(conn, account("acme"), now=then)
    await put_contacts(conn, contact("ada", "acme", email="a@example.com"), now=then)

    for table in ("account", "contact", "contact_version", "address", "endpoint"):
        assert await conn.fetchval(f"select created_at from {table}") == then
