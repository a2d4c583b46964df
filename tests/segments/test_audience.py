from typing import Any

import pytest
from asyncpg import Record

from segments.audience import (
    AUDIENCE_PARAMS,
    AUDIENCE_SQL,
    CountRow,
    count,
    is_empty,
)
from segments.model import AudienceQuery, Channel, Db, Exclusion, SuppressionReason
from segments.suppressions import Why, add_suppression
from tests.segments.builders import (
    KEY,
    NOW,
    account,
    account_ids,
    audience,
    component_ids,
    contact,
    put_accounts,
    put_components,
    put_contacts,
    query,
    remove_account,
)

_BOUNCED = Why(SuppressionReason.BOUNCED, "receipt")


async def told(conn: Db, asked: AudienceQuery) -> dict[str, str]:
    """External id -> first letters of the channels it would be told on; '-' marks an exclusion."""
    names = {row["id"]: row["external_id"] for row in await conn.fetch("select * from contact")}
    found: dict[str, str] = {}
    letters = {1: "e", 2: "s", 4: "b"}
    for row in sorted(await audience(conn, asked), key=lambda row: row["channel"]):
        mark = letters[row["channel"]] if row["reason"] == 0 else f"-{row['reason']}"
        name = names[row["contact_id"]]
        found[name] = found.get(name, "") + mark
    return found


@pytest.fixture
async def world(conn: Db) -> Db:
    """Three customers and ourselves.

    big (enterprise): checkout everywhere; small (smb): checkout in eu, search in us;
    other (smb): reports; us (internal): nothing.
    """
    await put_components(conn, "checkout", "search", "reports")
    await put_accounts(
        conn,
        account("big", attributes={"tier": "enterprise"}, usage=[{"component": "checkout"}]),
        account(
            "small",
            usage=[
                {"component": "checkout", "region": "eu"},
                {"component": "search", "region": "us"},
            ],
        ),
        account("other", usage=[{"component": "reports"}]),
        account("us", attributes={"kind": "internal"}),
    )
    agreed = {"sms_consent": {"granted": True, "source": "form"}}
    full = {"email": "ann@example.com", "phone": "+12025550101", "app_user": "ann", **agreed}
    await put_contacts(
        conn,
        contact("ann", "big", roles=["admin"], **full),
        contact("bob", "big", email="bob@example.com", phone="+12025550102"),
        contact("cid", "small", email="cid@example.com"),
        contact("dee", "other", email="dee@example.com"),
        contact("eve", "us", email="eve@example.com"),
    )
    return conn


ANN, BOB, REST = {"ann": "esb"}, {"bob": "e-3-1"}, {"cid": "e-1-1"}
EVE = {"eve": "e-1-1"}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"components": ["checkout"]}, ANN | BOB | REST | EVE),
        ({"components": ["search"]}, REST | EVE),
        ({"components": ["search", "reports"]}, REST | {"dee": "e-1-1"} | EVE),
        ({"components": []}, EVE),
        ({"components": ["checkout"], "regions": ("eu",)}, ANN | BOB | REST | EVE),
        ({"components": ["checkout"], "regions": ("us",)}, ANN | BOB | EVE),
        ({"components": ["search"], "regions": ("eu",)}, EVE),
        ({"components": ["checkout"], "segments": ("smb",)}, REST),
        ({"components": ["checkout"], "segments": ("smb", "internal")}, REST | EVE),
        ({"accounts": ["other"]}, {"dee": "e-1-1"} | EVE),
        ({"accounts": ["other"], "components": ["checkout"]}, {"dee": "e-1-1"} | EVE),
        ({"accounts": ["big", "small"], "segments": ("smb",)}, REST),
        ({"components": ["checkout"], "exclude": ["big", "us"]}, REST),
        ({"accounts": ["big"], "exclude": ["big"]}, EVE),
        ({"components": ["checkout"], "visibility": "public"}, ANN | BOB | REST | EVE),
        ({"components": ["checkout"], "visibility": "internal"}, EVE),
        ({"accounts": ["big"], "visibility": "internal"}, EVE),
        ({"accounts": ["small"], "visibility": "accounts"}, REST | EVE),
        ({"components": ["checkout"], "always_segments": ()}, ANN | BOB | REST),
    ],
)
async def test_the_audience_is_those_affected_and_those_always_told(
    world: Db, asked: dict[str, Any], expected: dict[str, str]
) -> None:
    components = await component_ids(world, asked.pop("components", []))
    accounts = await account_ids(world, asked.pop("accounts", []))
    excluded = await account_ids(world, asked.pop("exclude", []))
    question = query(
        component_ids=tuple(components.values()),
        account_ids=tuple(accounts.values()),
        exclude_account_ids=tuple(excluded.values()),
        **asked,
    )

    assert await told(world, question) == expected
    assert await is_empty(world, question, NOW) is (not expected)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([("enterprise", 1, "")], {"ann": "e", "bob": "e"}),
        ([("enterprise", 1, "admin")], {"ann": "e"}),
        ([("enterprise", 1, "billing,admin")], {"ann": "e"}),
        ([("enterprise", 1, "billing")], {}),
        ([("enterprise", 2, "admin"), ("smb", 1, "")], {"ann": "s", "cid": "e"}),
        ([("gold", 1, "")], {}),
        ([], {}),
    ],
)
async def test_policy_says_which_segment_and_role_is_told_where(
    world: Db, rules: list[tuple[str, int, str]], expected: dict[str, str]
) -> None:
    components = await component_ids(world, ["checkout"])
    question = AudienceQuery(
        rule_segments=tuple(rule[0] for rule in rules),
        rule_channels=tuple(rule[1] for rule in rules),
        rule_roles=tuple(rule[2] for rule in rules),
        component_ids=tuple(components.values()),
    )

    assert await told(world, question) == expected


@pytest.mark.parametrize(
    ("wishes", "components", "wanted"),
    [
        ([], ["checkout"], True),
        ([(None, False)], ["checkout"], False),
        ([(None, True)], ["checkout"], True),
        ([("checkout", False)], ["checkout"], False),
        ([("search", False)], ["checkout"], True),
        ([(None, False), ("checkout", True)], ["checkout"], True),
        ([(None, True), ("checkout", False)], ["checkout"], False),
        ([("checkout", False)], ["checkout", "search"], True),
        ([(None, False), ("checkout", False)], ["checkout", "search"], False),
        ([("checkout", False), ("search", False)], ["checkout", "search"], False),
        ([(None, False), ("search", True)], ["checkout", "search"], True),
        ([(None, False), ("search", True)], ["checkout"], False),
    ],
)
async def test_the_most_specific_wish_decides_and_one_wanted_component_is_enough(
    world: Db, wishes: list[tuple[str | None, bool]], components: list[str], *, wanted: bool
) -> None:
    subscriptions = [
        {"component": component, "channel": "email", "wanted": wish} for component, wish in wishes
    ]
    await put_contacts(world, contact("cid", "small", subscriptions=subscriptions))
    ids = await component_ids(world, components)

    found = await told(world, query(component_ids=tuple(ids.values())))

    assert found["cid"] == ("e-1-1" if wanted else "-1-1")


async def test_a_general_no_holds_where_accounts_are_named_and_no_component_is(world: Db) -> None:
    no = [{"channel": "email", "wanted": False}]
    await put_contacts(world, contact("cid", "small", subscriptions=no))
    ids = await account_ids(world, ["small"])

    assert (await told(world, query(account_ids=tuple(ids.values()))))["cid"] == "-1-1"


async def test_texts_need_consent_and_nothing_else_does(world: Db) -> None:
    for granted, mark in ((True, "s"), (False, "-3")):
        said = {"granted": granted, "source": "form"}
        await put_contacts(world, contact("bob", "big", phone="+12025550102", sms_consent=said))
        ids = await account_ids(world, ["big"])

        assert (await told(world, query(account_ids=tuple(ids.values()))))["bob"] == f"e{mark}-1"


@pytest.mark.parametrize(
    ("channel", "address", "expected"),
    [
        (Channel.EMAIL, "Ann@example.com", "-2sb"),
        (Channel.SMS, "+12025550101", "e-2b"),
        (Channel.BANNER, "ann", "es-2"),
        (Channel.EMAIL, "somebody@example.com", "esb"),
    ],
)
async def test_a_suppressed_address_is_left_out_on_its_channel(
    world: Db, channel: Channel, address: str, expected: str
) -> None:
    await add_suppression(world, channel, address, _BOUNCED, hash_key=KEY, now=NOW)
    ids = await account_ids(world, ["big"])

    assert (await told(world, query(account_ids=tuple(ids.values()))))["ann"] == expected


async def test_a_row_says_where_it_goes_and_an_excluded_one_stands_for_its_contact(
    world: Db,
) -> None:
    await add_suppression(world, Channel.SMS, "+12025550101", _BOUNCED, hash_key=KEY, now=NOW)
    await put_contacts(world, contact("ann", "big", locale="de"))
    ids = await account_ids(world, ["big"])
    ann = await world.fetchrow("select * from contact where external_id = 'ann'")
    assert ann is not None
    mailbox = await world.fetchval("select id from address where value = 'ann@example.com'")
    suppressed = await world.fetchval("select id from address where value = '+12025550101'")

    rows = await audience(world, query(account_ids=tuple(ids.values())))

    found = {row["channel"]: dict(row) for row in rows if row["contact_id"] == ann["id"]}
    assert found[1] == {
        "contact_id": ann["id"],
        "account_id": ids["big"],
        "segment": "enterprise",
        "locale": "de",
        "channel": 1,
        "endpoint_id": await world.fetchval(
            "select id from endpoint where address_id = $1", mailbox
        ),
        "address_id": mailbox,
        "contact_version": ann["version_id"],
        "reason": 0,
        "not_before": NOW,
    }
    assert found[2]["endpoint_id"] == -ann["id"]
    assert found[2]["address_id"] == suppressed
    assert found[2]["reason"] == Exclusion.SUPPRESSED


async def test_one_persons_missing_consent_is_not_in_the_way_of_another_at_the_same_number(
    world: Db,
) -> None:
    agreed = {"granted": True, "source": "form"}
    await put_contacts(world, contact("fay", "big", phone="+12025550102", sms_consent=agreed))
    ids = await account_ids(world, ["big"])

    question = query(account_ids=tuple(ids.values()), segments=("enterprise",))
    rows = await audience(world, question)

    texts = [row["endpoint_id"] for row in rows if row["channel"] == 2]
    assert len(set(texts)) == len(texts) == 3
    assert sorted(row["reason"] for row in rows if row["channel"] == 2) == [0, 0, 3]


async def test_a_shared_inbox_counts_once_and_the_others_as_covered(world: Db) -> None:
    await put_contacts(
        world, *(contact(f"x{n}", "other", email="dee@example.com") for n in range(3))
    )
    ids = await account_ids(world, ["other"])
    question = query(account_ids=tuple(ids.values()), segments=("smb",))

    counted = await count(world, question, NOW)

    assert counted == [
        CountRow("smb", 1, 0, 1),
        CountRow("smb", 1, Exclusion.SHARED_INBOX, 3),
        CountRow("smb", 2, Exclusion.NO_ADDRESS, 4),
        CountRow("smb", 4, Exclusion.NO_ADDRESS, 4),
    ]


async def test_who_was_removed_or_belongs_to_a_removed_account_is_not_in_the_audience(
    world: Db,
) -> None:
    ids = await account_ids(world, ["small"])
    question = query(account_ids=tuple(ids.values()), segments=("smb",))
    await remove_account(world, "small")

    assert await told(world, question) == {}
    assert await is_empty(world, question, NOW)


async def test_counting_inside_a_transaction_leaves_its_settings_alone(world: Db) -> None:
    async with world.transaction():
        await count(world, query(), NOW)
        assert await world.fetchval("show enable_nestloop") == "on"


async def test_ranges_of_contacts_put_together_are_the_whole(world: Db) -> None:
    ids = await component_ids(world, ["checkout"])
    question = query(component_ids=tuple(ids.values()))
    whole = {tuple(row) for row in await audience(world, question)}
    last = await world.fetchval("select max(id) from contact")

    parts: list[Record] = []
    for lo in range(0, last, 2):
        parts += await world.fetch(AUDIENCE_SQL, *question.params(lo, lo + 2, NOW, []))

    assert {tuple(row) for row in parts} == whole
    assert len(parts) == len(whole)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"visibility": "accounts"}, "needs account_ids"),
        ({"visibility": "everybody"}, "no visibility"),
        ({"rule_roles": ("",)}, "differ in length"),
        ({"rule_channels": (1, 1, 4) * 3}, "occurs twice"),
        ({"rule_channels": (1, 2, 3) * 3}, "reach a contact"),
    ],
)
def test_a_question_that_would_tell_the_wrong_people_is_refused(
    fields: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        query(**fields)


def test_the_statement_has_the_placeholders_it_says() -> None:
    assert len(query().params(0, 1, NOW, [])) == AUDIENCE_PARAMS
    assert f"${AUDIENCE_PARAMS}:" in AUDIENCE_SQL
    assert f"${AUDIENCE_PARAMS + 1}" not in AUDIENCE_SQL
