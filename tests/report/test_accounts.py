"""The accounts of a dispatch: worst first, every one on some page, each as a recount of it says."""

import pytest

from channels.model import ChannelKind, Fact, Reason
from dispatcher.rules.policy import load_policy
from dispatcher.rules.problem import RefusedError
from dispatcher.rules.states import DeliveryState, Purpose, SliceState
from dispatcher.stages.report import (
    AccountStanding,
    Narrowed,
    account_in_dispatch,
    accounts_page,
    roll_up,
    stream_csv,
)
from segments.model import Exclusion
from tests.report.rows import SIGNER, Book, Row, accepted, at, lost, only, told, waiting

EMAIL, SMS, BANNER = ChannelKind.EMAIL, ChannelKind.SMS, ChannelKind.BANNER


async def rolled(book: Book) -> None:
    async with book.conn.transaction():
        await roll_up(book.conn, book.dispatch, policy=load_policy(None), now=at(60))


@pytest.fixture
async def mixed(book: Book) -> Book:
    """An account of every standing, named so that the alphabet says nothing; two are lost entirely."""
    await book.open()
    bounced = Reason.UNKNOWN_ADDRESS

    async def account(
        name: str, *rows: tuple[DeliveryState, tuple[tuple[float, Fact], ...]]
    ) -> None:
        number = await book.account(name)
        people = [await book.person(f"{name}{n}", number, EMAIL) for n in range(len(rows))]
        await book.slice(
            "smb",
            EMAIL,
            *(
                Row(person, state, facts, reason=bounced if state is REJECTED else 0)
                for person, (state, facts) in zip(people, rows, strict=True)
            ),
            state=SliceState.WAITING,
        )

    delivered = (DeliveryState.ACCEPTED, ((5.0, Fact.DELIVERED),))
    refused, planned = (REJECTED, ()), (DeliveryState.PLANNED, ())
    doubtful = (DeliveryState.UNCONFIRMED, ())
    await account("alder", delivered, delivered)
    await account("Birch", (DeliveryState.CANCELLED, ()))
    await account("cedar", delivered, planned)
    await account("Dogwood", delivered, refused)
    await account("elm", refused, doubtful)
    await account("Aspen", refused)
    await rolled(book)
    return book


REJECTED = DeliveryState.REJECTED
WORST_FIRST = [
    ("Aspen", "not_told"),
    ("elm", "not_told"),
    ("Dogwood", "partly_told"),
    ("cedar", "waiting"),
    ("alder", "told"),
    ("Birch", "withdrawn"),
]


@pytest.mark.parametrize("limit", [1, 2, 5, 6])
async def test_pages_list_every_account_once_worst_first_then_by_name(
    mixed: Book, limit: int
) -> None:
    found, cursor = [], None
    while True:
        page = await accounts_page(
            mixed.conn, mixed.dispatch, signer=SIGNER, limit=limit, cursor=cursor
        )
        assert page.as_of == at(60)
        found += [(row.name, row.standing) for row in page.data]
        if (cursor := page.next_cursor) is None:
            break
    assert found == WORST_FIRST


async def test_an_account_counts_its_people_and_its_messages(mixed: Book) -> None:
    page = await accounts_page(mixed.conn, mixed.dispatch, signer=SIGNER, to=Narrowed(search="elm"))
    (elm,) = page.data
    assert (elm.people, elm.notified, elm.waiting, elm.unconfirmed, elm.not_reached) == (
        2,
        0,
        0,
        1,
        1,
    )
    assert (elm.statuses, elm.manager) == ({"failed": 1, "unconfirmed": 1}, "Mia")
    assert elm.channels == {"email": {"failed": 1, "unconfirmed": 1}}
    assert elm.first_told_at is None


@pytest.mark.parametrize(
    ("search", "standing", "names"),
    [
        ("A", None, ["Aspen", "cedar", "alder"]),
        ("a", AccountStanding.TOLD, ["alder"]),
        ("%", None, []),
        ("", AccountStanding.NOT_TOLD, ["Aspen", "elm"]),
    ],
)
async def test_accounts_are_narrowed_by_part_of_the_name_and_by_standing(
    mixed: Book, search: str, standing: AccountStanding | None, names: list[str]
) -> None:
    page = await accounts_page(
        mixed.conn, mixed.dispatch, signer=SIGNER, to=Narrowed(search=search, standing=standing)
    )
    assert [row.name for row in page.data] == names


async def test_an_account_that_moves_between_pages_tears_no_hole(mixed: Book) -> None:
    first = await accounts_page(mixed.conn, mixed.dispatch, signer=SIGNER, limit=2)
    await mixed.conn.execute("update account_update set standing = 3 where sort_name = 'elm'")
    second = await accounts_page(
        mixed.conn, mixed.dispatch, signer=SIGNER, limit=1, cursor=first.next_cursor
    )
    assert [row.name for row in second.data] == ["Dogwood"]


async def test_before_the_first_count_there_are_no_accounts_and_no_as_of(book: Book) -> None:
    await book.open()
    page = await accounts_page(book.conn, book.dispatch, signer=SIGNER)
    assert (page.as_of, page.data, page.next_cursor) == (None, (), None)


@pytest.mark.parametrize(
    ("dispatch", "limit", "cursor", "status"),
    [(99, 5, None, 404), (None, 0, None, 422), (None, 201, None, 422), (None, 5, "x", 422)],
)
async def test_a_wrong_question_is_refused_with_its_status(
    mixed: Book, dispatch: int | None, limit: int, cursor: str | None, status: int
) -> None:
    with pytest.raises(RefusedError) as refused:
        await accounts_page(
            mixed.conn, dispatch or mixed.dispatch, signer=SIGNER, limit=limit, cursor=cursor
        )
    assert refused.value.status == status


async def test_one_account_stands_alone_as_it_stands_in_the_table(mixed: Book) -> None:
    for name, standing in WORST_FIRST:
        found = await account_in_dispatch(mixed.conn, mixed.dispatch, name.lower(), signer=SIGNER)
        assert (found.name, found.standing) == (name, standing)


async def test_who_must_be_phoned_is_named_with_what_was_tried(book: Book) -> None:
    big = await book.account("Big")
    ada = await book.person("Ada", big, EMAIL, SMS)
    bob, gus = await book.person("Bob", big, EMAIL, BANNER), await book.person("Gus", big)
    await book.open()
    bounced = Row(bob, REJECTED, reason=Reason.UNKNOWN_ADDRESS)
    await book.slice("smb", EMAIL, told(ada, 9), bounced, lost(gus, Exclusion.NO_ADDRESS))
    await book.slice("smb", SMS, told(ada, 3))
    await book.slice("smb", BANNER, accepted(bob))
    found = await account_in_dispatch(book.conn, book.dispatch, "big", signer=SIGNER, read_pii=True)
    assert [(row.name, row.standing) for row in found.people] == [
        ("Bob", "not_reached"),
        ("Gus", "not_reached"),
        ("Ada", "notified"),
    ]
    assert (found.standing, found.first_told_at) == ("partly_told", at(3))
    phone = only(found.not_reached, name="Bob")
    assert {why.channel: why.reason for why in phone.why} == {
        "email": "unknown_address",
        "banner": "not_seen",
    }
    assert all(why.advice for why in phone.why)
    mail = only(found.people[2].deliveries, channel="email")
    assert [(event.fact, event.at) for event in mail.timeline] == [("delivered", at(9))]
    assert mail.address == "ada@example.com"
    masked = await account_in_dispatch(book.conn, book.dispatch, "big", signer=SIGNER)
    shown = [row.name for row in masked.not_reached] + [row.name for row in masked.people]
    assert shown == [
        "B•••",
        "G•••",
        "B•••",
        "G•••",
        "A•••",
    ]
    assert "ada@example.com" not in masked.model_dump_json()


@pytest.mark.parametrize("reached", [True, False])
async def test_who_is_covered_by_a_shared_inbox_of_others_stands_as_that_one_does(
    book: Book, *, reached: bool
) -> None:
    big, other = await book.account("Big"), await book.account("Other")
    ada = await book.person("Ada", big, EMAIL)
    cy = await book.person("Cy", other, EMAIL, address="ada@example.com")
    await book.open()
    await book.slice(
        "smb", EMAIL, told(ada, 4) if reached else waiting(ada), state=SliceState.WAITING
    )
    await book.slice("smb", EMAIL, lost(cy, Exclusion.SHARED_INBOX))
    await rolled(book)
    found = await account_in_dispatch(book.conn, book.dispatch, "other", signer=SIGNER)
    (row,) = (
        await accounts_page(book.conn, book.dispatch, signer=SIGNER, to=Narrowed(search="other"))
    ).data
    standing, first = ("told", at(4)) if reached else ("waiting", None)
    assert (found.standing, found.first_told_at) == (standing, first)
    assert (row.standing, row.first_told_at) == (standing, first)


async def test_a_copy_to_the_manager_is_shown_and_reaches_nobody_else(book: Book) -> None:
    big = await book.account("Big")
    ada = await book.person("Ada", big, EMAIL)
    await book.open()
    number = await book.slice("smb", EMAIL, Row(ada, REJECTED, reason=Reason.UNKNOWN_ADDRESS))
    await book.conn.execute(
        """insert into delivery (update_id, endpoint_id, account_id, slice_id, contact_version, channel,
                                 purpose, state)
           select update_id, endpoint_id, account_id, slice_id, contact_version, channel, $2, 1
           from delivery where slice_id = $1""",
        number,
        Purpose.MANAGER_COPY,
    )
    found = await account_in_dispatch(book.conn, book.dispatch, "big", signer=SIGNER)
    assert [row.purpose for row in found.people[0].deliveries] == ["notice", "manager_copy"]
    assert [person.name for person in found.not_reached] == ["A•••"]
    assert len([line async for line in stream_csv(book.conn, book.dispatch)]) == 2


@pytest.mark.parametrize(("dispatch", "account"), [(99, "big"), (None, "nobody"), (None, "other")])
async def test_what_the_dispatch_knows_nothing_of_is_not_found(
    book: Book, dispatch: int | None, account: str
) -> None:
    ada = await book.person("Ada", await book.account("Big"), EMAIL)
    await book.account("Other")
    await book.open()
    await book.slice("smb", EMAIL, told(ada, 1))
    with pytest.raises(RefusedError) as refused:
        await account_in_dispatch(book.conn, dispatch or book.dispatch, account, signer=SIGNER)
    assert refused.value.status == 404
