from datetime import timedelta

import pytest

from segments.addresses import address_hash
from segments.consents import Consent, record_consent, unsubscribe
from segments.model import Channel, Db, SuppressionReason
from segments.suppressions import (
    Why,
    add_suppression,
    lift_opt_outs,
    list_suppressions,
    remove_suppression,
    suppress_hashes,
)
from segments.voices import ensure_voice
from tests.segments.builders import (
    KEY,
    NOW,
    account,
    contact,
    put_accounts,
    put_components,
    put_contacts,
)

_BY_HAND = Why(SuppressionReason.OPERATOR, "ops")


async def test_an_address_is_suppressed_once_and_in_any_spelling(conn: Db) -> None:
    assert await add_suppression(
        conn, Channel.EMAIL, "Ada@Example.com", _BY_HAND, hash_key=KEY, now=NOW
    )
    again = Why(SuppressionReason.BOUNCED, "provider")
    assert not await add_suppression(
        conn, Channel.EMAIL, "ada@example.com", again, hash_key=KEY, now=NOW
    )

    (found,) = await list_suppressions(conn)
    assert found.address_hash == address_hash(KEY, Channel.EMAIL, "ADA@example.com")
    assert (found.reason, found.source, found.at) == (SuppressionReason.OPERATOR, "ops", NOW)


async def test_a_suppression_is_for_one_channel_and_can_be_lifted(conn: Db) -> None:
    await add_suppression(conn, Channel.SMS, "+1 202 555 0101", _BY_HAND, hash_key=KEY, now=NOW)

    number = "+12025550101"
    assert not await remove_suppression(conn, Channel.BANNER, number, hash_key=KEY)
    assert await remove_suppression(conn, Channel.SMS, number, hash_key=KEY)
    assert not await remove_suppression(conn, Channel.SMS, number, hash_key=KEY)


async def test_what_is_no_address_cannot_be_suppressed(conn: Db) -> None:
    with pytest.raises(ValueError, match="is not an e-mail address"):
        await add_suppression(conn, Channel.EMAIL, "nobody", _BY_HAND, hash_key=KEY, now=NOW)


@pytest.mark.parametrize(
    "reason", [r for r in SuppressionReason if r != SuppressionReason.OPTED_OUT]
)
async def test_what_a_person_cannot_take_back_replaces_what_they_can(
    conn: Db, reason: SuppressionReason
) -> None:
    hashed = address_hash(KEY, Channel.SMS, "+12025550101")
    opted_out = (2, hashed, SuppressionReason.OPTED_OUT, "inbound", NOW)
    stands = (2, hashed, reason, "somebody", NOW)

    assert await suppress_hashes(conn, [stands, opted_out]) == 1
    assert await lift_opt_outs(conn, [(2, hashed)]) == 0
    assert await remove_suppression(conn, Channel.SMS, "+12025550101", hash_key=KEY)
    assert await suppress_hashes(conn, [opted_out]) == 1
    assert await suppress_hashes(conn, [opted_out]) == 0
    assert await suppress_hashes(conn, [stands]) == 1
    assert await suppress_hashes(conn, [opted_out]) == 0

    (found,) = await list_suppressions(conn)
    assert (found.reason, found.source) == (reason, "somebody")


async def test_receipts_suppress_by_hash_and_count_what_is_new(conn: Db) -> None:
    hashes = [address_hash(KEY, Channel.EMAIL, f"p{n}@example.com") for n in (1, 2, 1)]
    rows = [(1, hashed, SuppressionReason.BOUNCED, "receipt", NOW) for hashed in hashes]

    assert await suppress_hashes(conn, rows) == 2
    assert await suppress_hashes(conn, rows) == 0
    assert await suppress_hashes(conn, []) == 0


async def test_suppressions_are_listed_in_pages_with_the_address_where_it_is_known(
    conn: Db,
) -> None:
    await put_accounts(conn, account("acme"))
    await put_contacts(conn, contact("ada", "acme", email="p1@example.com"))
    for n in range(5):
        await add_suppression(
            conn, Channel.EMAIL, f"p{n}@example.com", _BY_HAND, hash_key=KEY, now=NOW
        )

    first = await list_suppressions(conn, limit=3)
    after = (first[-1].address_hash, first[-1].channel)
    rest = await list_suppressions(conn, after=after, limit=3)

    assert (len(first), len(rest)) == (3, 2)
    assert len({entry.address_hash for entry in first + rest}) == 5
    assert {entry.address for entry in first + rest} == {None, "p1@example.com"}


async def _endpoint(conn: Db, external_id: str) -> int:
    endpoint: int = await conn.fetchval(
        """select ce.endpoint_id from contact_endpoint ce join contact c on c.id = ce.contact_id
           where c.external_id = $1""",
        external_id,
    )
    return endpoint


async def test_what_a_person_says_about_texts_is_appended_and_counts_at_once(conn: Db) -> None:
    await put_accounts(conn, account("acme"))
    await put_contacts(
        conn,
        contact("ada", "acme", phone="+12025550101"),
        contact("bob", "acme", phone="+12025550101"),
    )
    phone = address_hash(KEY, Channel.SMS, "+12025550101")

    for minute, granted in enumerate((True, False, False)):
        said = Consent(granted, "text message", "STOP", NOW + timedelta(minutes=minute))
        assert await record_consent(conn, Channel.SMS, phone, said) == 2

    assert await conn.fetchval("select count(*) from consent") == 6
    assert await conn.fetchval("select count(*) from contact_endpoint where consented = false") == 2
    nobody, taken_back = (
        address_hash(KEY, Channel.SMS, "+12025550102"),
        Consent(granted=False, source="", wording="", at=NOW),
    )
    assert await record_consent(conn, Channel.SMS, nobody, taken_back) == 0


async def test_unsubscribing_outranks_every_wish_there_was_and_every_later_record(
    conn: Db,
) -> None:
    await put_components(conn, "checkout", "search")
    await put_accounts(conn, account("acme"))
    wishes = [{"component": "checkout", "channel": "email", "wanted": True}]
    ada = contact("ada", "acme", email="ada@example.com", subscriptions=wishes)
    await put_contacts(conn, ada)

    assert await unsubscribe(conn, await _endpoint(conn, "ada"), NOW) == 1
    assert await unsubscribe(conn, await _endpoint(conn, "ada"), NOW) == 0

    more = [*wishes, {"channel": "email", "wanted": True}]
    more.append({"component": "search", "channel": "email", "wanted": True})
    outcome = await put_contacts(conn, contact("ada", "acme", subscriptions=more))
    assert outcome.unchanged == 1
    assert await conn.fetchval("select bool_or(wanted) from subscription") is False


async def test_a_public_voice_is_made_once(conn: Db) -> None:
    first = await ensure_voice(conn, "@acme_status", NOW)

    assert await ensure_voice(conn, " @Acme_Status", NOW) == first
    assert await ensure_voice(conn, "@acme_eu", NOW) != first
    assert await conn.fetchval("select channel from endpoint where id = $1", first) == 3
