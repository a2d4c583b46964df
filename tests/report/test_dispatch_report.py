"""One dispatch with known answers: seven people, two segments, every way to succeed and to fail."""

import pytest

from channels.model import ChannelKind, Fact, Reason
from dispatcher import tally
from dispatcher.db import Connection
from dispatcher.rules.policy import load_policy
from dispatcher.rules.problem import RefusedError
from dispatcher.rules.states import DeliveryState, SliceState
from dispatcher.stages.report import DispatchReport, dispatch_report, latest_dispatch, roll_up
from dispatcher.stages.report.dispatch import SMALL
from segments.model import Exclusion
from tests.report.rows import (
    SIGNER,
    TITLE,
    Book,
    Row,
    accepted,
    at,
    lost,
    only,
    told,
    waiting,
)

EMAIL, SMS, SOCIAL, BANNER = (
    ChannelKind.EMAIL,
    ChannelKind.SMS,
    ChannelKind.SOCIAL,
    ChannelKind.BANNER,
)


async def report_of(
    book: Book, *, seconds: float = 600, limit: int = 1000, read_pii: bool = True
) -> DispatchReport:
    return await dispatch_report(
        book.conn,
        book.dispatch,
        signer=SIGNER,
        policy=load_policy(None),
        now=at(seconds),
        list_limit=limit,
        read_pii=read_pii,
    )


@pytest.fixture
async def busy(book: Book) -> Book:
    """Enterprise: Ada (e-mail at 10 s, text at 4 s), Bob (bounced; not in the app), Cy (shared with Ada).

    SMB: Dan (e-mail at 20 s), Eve (accepted, no proof), Flo (nobody knows), Gus (no address at all).
    """
    big, small = await book.account("Big", "enterprise"), await book.account("Small")
    ada = await book.person("Ada", big, EMAIL, SMS)
    bob = await book.person("Bob", big, EMAIL, BANNER)
    cy = await book.person("Cy", big, EMAIL, address="ada@example.com")
    dan, eve = await book.person("Dan", small, EMAIL), await book.person("Eve", small, EMAIL)
    flo, gus = await book.person("Flo", small, EMAIL), await book.person("Gus", small)
    await book.open()
    bounced = Row(
        bob, DeliveryState.ACCEPTED, ((5, Fact.BOUNCED_HARD),), reason=Reason.UNKNOWN_ADDRESS
    )
    await book.slice("enterprise", EMAIL, told(ada, 10), bounced)
    await book.slice("enterprise", SMS, told(ada, 4))
    await book.slice("enterprise", BANNER, accepted(bob))
    await book.slice("enterprise", EMAIL, lost(cy, Exclusion.SHARED_INBOX))
    await book.slice("smb", EMAIL, told(dan, 20), accepted(eve))
    await book.slice("smb", EMAIL, Row(flo, DeliveryState.UNCONFIRMED))
    await book.slice("smb", EMAIL, lost(gus, Exclusion.NO_ADDRESS))
    _, voice = await book.endpoint(SOCIAL, "@acme")
    post = Row(None, DeliveryState.ACCEPTED, ((1, Fact.POSTED),), public=voice)
    await book.slice("", SOCIAL, post)
    return book


async def test_a_person_counts_once_at_their_first_channel(busy: Book) -> None:
    everyone = (await report_of(busy)).everyone
    assert (everyone.people, everyone.notified) == (7, 3)
    assert (everyone.unproven, everyone.unconfirmed, everyone.not_reached) == (1, 1, 2)
    # 7 people: half are 4, and only three have proof.
    assert everyone.seconds_to == {"50": None, "90": None, "99": None, "100": None}


async def test_shares_are_of_all_people_of_the_segment(busy: Book) -> None:
    enterprise = only((await report_of(busy)).people, segment="enterprise")
    assert enterprise.people == 3
    # Ada's text came first, the mail she shares with Cy after ten seconds; Bob bounced.
    assert enterprise.seconds_to == {"50": 10.0, "90": None, "99": None, "100": None}


async def test_who_shares_an_inbox_is_told_by_it_and_is_no_failure(busy: Book) -> None:
    report = await report_of(busy)
    row = only(report.funnel, segment="enterprise", channel="email")
    assert (row.targeted, row.covered, row.reachable) == (3, 1, 2)
    assert (row.accepted, row.notified, row.failed, row.waiting) == (2, 1, 1, 0)
    assert "Cy" not in {person.name for person in report.not_reached}
    assert "shared_inbox" not in {row.reason for row in report.failures}


async def test_who_shares_an_inbox_that_cannot_be_used_cannot_be_reached_either(
    book: Book,
) -> None:
    account = await book.account("Big")
    ada = await book.person("Ada", account, EMAIL)
    cy = await book.person("Cy", account, EMAIL, address="ada@example.com")
    await book.open()
    unsent = Row(ada, DeliveryState.UNREACHABLE, reason=Exclusion.NOT_CONFIGURED)
    await book.slice("smb", EMAIL, unsent)
    await book.slice("smb", EMAIL, lost(cy, Exclusion.SHARED_INBOX))
    report = await report_of(book)
    assert (report.everyone.people, report.everyone.reachable) == (2, 0)
    assert [person.name for person in report.not_reached] == ["Ada", "Cy"]


async def test_the_public_post_is_posted_and_counts_for_nobody(busy: Book) -> None:
    report = await report_of(busy)
    assert only(report.funnel, segment="public", channel="social").notified == 1
    assert "social" not in report.curve.series
    assert report.totals["posted"] == 1


async def test_failures_carry_plain_words_and_advice(busy: Book) -> None:
    failure = only((await report_of(busy)).failures, reason="unknown_address")
    assert (failure.channel, failure.status, failure.count) == ("email", "failed", 1)
    assert failure.text == "The address does not exist"
    assert failure.advice


async def test_the_lost_are_listed_with_a_reason_for_every_channel(busy: Book) -> None:
    report = await report_of(busy)
    assert [person.name for person in report.not_reached] == ["Bob", "Gus"]
    bob = report.not_reached[0]
    assert {why.channel: why.reason for why in bob.why} == {
        "email": "unknown_address",
        "banner": "not_seen",
    }
    assert [person.name for person in report.ask] == ["Flo"]
    masked = await report_of(busy, read_pii=False)
    assert [person.name for person in (*masked.not_reached, *masked.ask)] == [
        "B•••",
        "G•••",
        "F•••",
    ]


async def test_an_account_shows_who_was_told_what_and_when_first(busy: Book) -> None:
    report = await report_of(busy)
    big = only(report.accounts, name="Big")
    assert (big.people, big.notified, big.first_told_at) == (3, 2, at(4))
    assert big.channels["sms"] == {"delivered": 1}
    assert big.channels["email"] == {"delivered": 1, "failed": 1, "unreachable": 1}
    assert (big.account, big.manager) == ("big", "Mia")


async def test_the_curve_climbs_to_the_people_with_proof(busy: Book) -> None:
    curve = (await report_of(busy)).curve
    assert curve.people == 7
    assert curve.series["any"] == ((4.0, 1), (10.0, 2), (20.0, 3))
    assert curve.series["sms"] == ((4.0, 1),)
    assert curve.series["email"] == ((10.0, 2), (20.0, 3))


async def test_totals_are_the_sums_of_the_slices(busy: Book) -> None:
    totals = (await report_of(busy)).totals
    assert totals == {
        "accepted": 2,
        "delivered": 3,
        "posted": 1,
        "failed": 1,
        "unreachable": 2,
        "unconfirmed": 1,
    }


async def test_lists_are_cut_but_their_totals_are_whole(busy: Book) -> None:
    report = await report_of(busy, limit=1)
    assert len(report.accounts) == 1
    assert len(report.not_reached) == 1
    assert (report.accounts_total, report.not_reached_total) == (2, 2)


async def test_the_header_names_incident_and_update_with_public_ids(busy: Book) -> None:
    report = await report_of(busy)
    assert (report.incident.external_id, report.update.seq, report.update.title) == (
        "INC-42",
        1,
        TITLE,
    )
    assert SIGNER.read_public_id("dsp", report.dispatch) == busy.dispatch
    assert report.to_json()["state"] == "sending"


async def test_the_first_notice_is_open_met_or_missed(book: Book) -> None:
    account = await book.account("Big", "enterprise")
    ada, bob = await book.person("Ada", account, EMAIL), await book.person("Bob", account, EMAIL)
    await book.open(severity=1)
    await book.slice("enterprise", EMAIL, told(ada, 10))
    number = await book.slice("enterprise", EMAIL, waiting(bob), state=SliceState.WAITING)
    within, after = 3600, 4 * 3600 + 1
    assert (await report_of(book, seconds=within)).everyone.first_notice.state == "open"  # type: ignore[union-attr] # P1 has one
    assert (await report_of(book, seconds=after)).everyone.first_notice.state == "missed"  # type: ignore[union-attr] # same
    await book.conn.execute("update delivery set state = 7 where slice_id = $1", number)
    await tally.touch(book.conn, [number])
    assert (await report_of(book, seconds=after)).everyone.first_notice.state == "met"  # type: ignore[union-attr] # same


async def test_proof_after_the_deadline_is_a_missed_notice(book: Book) -> None:
    ada = await book.person("Ada", await book.account("Big", "enterprise"), EMAIL)
    await book.open(severity=0)
    await book.slice("enterprise", EMAIL, told(ada, 3601))
    notice = (await report_of(book, seconds=7200)).everyone.first_notice
    assert notice is not None
    assert (notice.state, notice.on_time, notice.late) == ("missed", 0, 1)


async def test_only_the_first_update_of_an_incident_has_the_first_notice(book: Book) -> None:
    ada = await book.person("Ada", await book.account("Big", "enterprise"), EMAIL)
    await book.open()
    await book.slice("enterprise", EMAIL, told(ada, 1))
    await book.open(moment=at(60))
    await book.slice("enterprise", EMAIL, told(ada, 61))
    report = await report_of(book)
    assert report.everyone.first_notice is None
    assert report.everyone.seconds_to["100"] == 1.0


async def test_a_cancelled_update_nobody_was_told_of_was_not_the_first_notice(book: Book) -> None:
    ada = await book.person("Ada", await book.account("Big", "enterprise"), EMAIL)
    await book.open()
    await book.slice("enterprise", EMAIL, Row(ada, DeliveryState.CANCELLED))
    await book.conn.execute("update incident_update set state = 'cancelled'")
    await book.open(moment=at(60))
    await book.slice("enterprise", EMAIL, told(ada, 61))
    assert (await report_of(book)).everyone.first_notice is not None


async def test_a_draft_counts_from_its_release_but_the_promise_from_the_incident(
    book: Book,
) -> None:
    ada = await book.person("Ada", await book.account("Big", "enterprise"), EMAIL)
    await book.open(severity=0)
    await book.conn.execute("update dispatch set created_at = $1", at(3590))
    await book.slice("enterprise", EMAIL, told(ada, 3601))
    report = await report_of(book, seconds=7200)
    assert report.everyone.seconds_to["100"] == 11.0
    assert report.curve.series["any"] == ((11.0, 1),)
    assert report.everyone.first_notice is not None
    assert (report.everyone.first_notice.deadline, report.everyone.first_notice.late) == (
        at(3600),
        1,
    )


async def test_the_stored_curve_is_served_until_a_slice_has_changed(book: Book) -> None:
    ada = await book.person("Ada", await book.account("Big"), EMAIL)
    await book.open()
    number = await book.slice("smb", EMAIL, accepted(ada))
    async with book.conn.transaction():
        await roll_up(book.conn, book.dispatch, policy=load_policy(None), now=at(5))
    known = {"people": 1, "series": {"any": [[1.5, 1]]}}
    await book.conn.execute(
        "update dispatch_report set document = jsonb_set(document, '{curve}', $1)", known
    )
    report = await report_of(book)
    assert (report.curve.series, report.as_of) == ({"any": ((1.5, 1),)}, at(5))
    await book.prove(number, EMAIL, ada, 7)
    report = await report_of(book)
    assert (report.curve.series["any"], report.as_of) == (((7.0, 1),), at(600))


async def make_large(book: Book) -> None:
    await book.conn.execute("update slice set n = $1", SMALL + 1)


async def test_a_large_dispatch_says_that_it_is_being_counted_and_then_as_of_when(
    book: Book,
) -> None:
    ada = await book.person("Ada", await book.account("Big"), EMAIL)
    await book.open()
    number = await book.slice("smb", EMAIL, accepted(ada))
    await make_large(book)
    report = await report_of(book)
    assert (report.counted, report.people, report.totals) == (False, (), {"accepted": 1})
    async with book.conn.transaction():
        await roll_up(book.conn, book.dispatch, policy=load_policy(None), now=at(5))
    report = await report_of(book)
    assert (report.as_of, report.stale, report.everyone.unproven) == (at(5), False, 1)
    await book.prove(number, EMAIL, ada, 7)
    report = await report_of(book)
    assert (report.as_of, report.stale, report.everyone.unproven) == (at(5), True, 1)
    assert report.channels == {"email": {"delivered": 1}}


async def test_a_large_dispatch_is_judged_by_the_moment_of_reading(book: Book) -> None:
    ada = await book.person("Ada", await book.account("Big", "enterprise"), EMAIL)
    await book.open(severity=0)
    await book.slice("enterprise", EMAIL, accepted(ada))
    await make_large(book)
    async with book.conn.transaction():
        await roll_up(book.conn, book.dispatch, policy=load_policy(None), now=at(5))
    states = [
        notice.state
        for seconds in (3600, 3601)
        if (notice := (await report_of(book, seconds=seconds)).everyone.first_notice)
    ]
    assert states == ["open", "missed"]


async def test_a_document_of_another_version_is_counted_anew(book: Book) -> None:
    ada = await book.person("Ada", await book.account("Big"), EMAIL)
    await book.open()
    await book.slice("smb", EMAIL, told(ada, 1))
    await report_of(book)
    await book.conn.execute("""update dispatch_report set document = '{"version": 0}'""")
    assert (await report_of(book, seconds=700)).as_of == at(700)


async def test_no_name_and_no_address_is_kept_with_a_report(busy: Book) -> None:
    assert {row.name for row in (await report_of(busy)).not_reached} == {"Bob", "Gus"}
    kept = await busy.conn.fetchval("select document::text from dispatch_report")
    assert not any(text in kept for text in ("Bob", "Gus", "@"))
    await busy.conn.execute("update contact_version set name = null")
    assert {row.name for row in (await report_of(busy)).not_reached} == {""}


async def test_a_bounce_after_delivery_takes_the_proof_back(book: Book) -> None:
    ada = await book.person("Ada", await book.account("Big"), EMAIL)
    await book.open()
    both = Row(ada, DeliveryState.ACCEPTED, ((3, Fact.DELIVERED), (9, Fact.BOUNCED_HARD)))
    await book.slice("smb", EMAIL, both)
    report = await report_of(book)
    assert (report.everyone.notified, report.everyone.not_reached) == (0, 1)
    assert report.curve.series == {}


async def test_a_long_curve_has_at_most_200_points_and_keeps_first_and_last(book: Book) -> None:
    account = await book.account("Big")
    people = [await book.person(f"P{number}", account, EMAIL) for number in range(401)]
    await book.open()
    await book.slice("smb", EMAIL, *(told(person, n) for n, person in enumerate(people)))
    points = (await report_of(book)).curve.series["any"]
    assert len(points) <= 200
    assert (points[0], points[-1]) == ((0.0, 1), (400.0, 401))
    assert [count for _, count in points] == sorted(count for _, count in points)


async def test_a_dispatch_that_is_being_planned_is_not_counted_and_says_so(book: Book) -> None:
    await book.open(state="planning")
    report = await report_of(book)
    assert (report.counted, report.totals, report.accounts_total) == (False, {}, 0)
    with pytest.raises(LookupError):
        _ = report.everyone


async def test_a_dispatch_to_nobody_reports_zeros(book: Book) -> None:
    await book.open()
    report = await report_of(book)
    assert (report.counted, report.everyone.people, report.totals) == (True, 0, {})


async def test_an_unknown_dispatch_is_refused_and_no_dispatch_has_no_latest(
    conn: Connection,
) -> None:
    assert await latest_dispatch(conn) is None
    with pytest.raises(RefusedError) as refused:
        await report_of(Book(conn, dispatch=99))
    assert refused.value.status == 404
