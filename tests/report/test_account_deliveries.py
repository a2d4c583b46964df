import pytest

from channels.model import ChannelKind, Fact
from dispatcher.rules.policy import load_policy
from dispatcher.rules.problem import RefusedError
from dispatcher.stages.report import account_deliveries, roll_up
from segments.model import Exclusion
from tests.report.rows import SIGNER, Book, Row, at, lost, only, told

EMAIL, SMS = ChannelKind.EMAIL, ChannelKind.SMS


@pytest.fixture
async def told_twice(book: Book) -> Book:
    """Two updates for Big (Ada by mail and text, Bob without a mobile) and for somebody else."""
    big, other = await book.account("Big"), await book.account("Other")
    ada, bob = await book.person("Ada", big, EMAIL, SMS), await book.person("Bob", big)
    eve = await book.person("Eve", other, EMAIL)
    for moment in (0.0, 60.0):
        await book.open(moment=at(moment))
        await book.slice("smb", EMAIL, told(ada, moment + 5), told(eve, moment + 6))
        await book.slice("smb", SMS, told(ada, moment + 2))
        await book.slice("smb", SMS, lost(bob, Exclusion.NO_ADDRESS))
        async with book.conn.transaction():
            await roll_up(book.conn, book.dispatch, policy=load_policy(None), now=at(moment + 30))
    return book


async def test_the_newest_update_comes_first_with_every_delivery_of_the_account(
    told_twice: Book,
) -> None:
    found = await account_deliveries(told_twice.conn, "big", signer=SIGNER, read_pii=True)
    assert [update.seq for update in found.data] == [2, 1]
    newest = found.data[0]
    assert [(row.name, row.channel, row.status) for row in newest.deliveries] == [
        ("Ada", "email", "delivered"),
        ("Ada", "sms", "delivered"),
        ("Bob", "sms", "unreachable"),
    ]
    assert newest.first_told_at == at(62)
    assert newest.deliveries[2].reason_text == "No address on this channel"


async def test_each_delivery_tells_its_history_in_order(book: Book) -> None:
    ada = await book.person("Ada", await book.account("Big"), EMAIL)
    await book.open()
    await book.slice(
        "smb", EMAIL, Row(ada, told(ada, 1).state, ((9, Fact.OPENED), (5, Fact.DELIVERED)))
    )
    await book.receipt(
        EMAIL, ada.endpoints[EMAIL], Fact.DELIVERED, 5
    )  # the provider repeats itself
    async with book.conn.transaction():
        await roll_up(book.conn, book.dispatch, policy=load_policy(None), now=at(10))
    found = await account_deliveries(book.conn, "big", signer=SIGNER)
    (row,) = found.data[0].deliveries
    assert [(event.fact, event.at) for event in row.timeline] == [
        ("delivered", at(5)),
        ("opened", at(9)),
    ]


async def test_who_was_told_first_is_known_before_any_roll_up_has_seen_it(
    told_twice: Book,
) -> None:
    await told_twice.conn.execute("update account_update set first_told_at = null")
    found = await account_deliveries(told_twice.conn, "big", signer=SIGNER)
    assert [update.first_told_at for update in found.data] == [at(62), at(2)]


async def test_names_and_addresses_are_masked_for_who_may_not_read_them(told_twice: Book) -> None:
    masked = await account_deliveries(told_twice.conn, "big", signer=SIGNER)
    plain = await account_deliveries(told_twice.conn, "big", signer=SIGNER, read_pii=True)
    assert only(masked.data[0].deliveries, channel="email").address == "a•••@example.com"
    assert only(plain.data[0].deliveries, channel="email").address == "ada@example.com"
    assert "5010" not in masked.model_dump_json()
    assert {row.name for row in masked.data[0].deliveries} == {"A•••", "B•••"}
    assert {row.name for row in plain.data[0].deliveries} == {"Ada", "Bob"}


async def test_pages_follow_each_other_without_a_gap_or_a_repetition(told_twice: Book) -> None:
    first = await account_deliveries(told_twice.conn, "big", signer=SIGNER, limit=1)
    second = await account_deliveries(
        told_twice.conn, "big", signer=SIGNER, limit=1, cursor=first.next_cursor
    )
    assert [page.data[0].seq for page in (first, second)] == [2, 1]
    assert second.next_cursor is None


@pytest.mark.parametrize(
    ("account", "limit", "cursor", "status"),
    [
        ("nobody", 20, None, 404),
        ("big", 0, None, 422),
        ("big", 201, None, 422),
        ("big", 20, "x", 422),
    ],
)
async def test_a_wrong_question_is_refused_with_its_status(
    told_twice: Book, account: str, limit: int, cursor: str | None, status: int
) -> None:
    with pytest.raises(RefusedError) as refused:
        await account_deliveries(
            told_twice.conn, account, signer=SIGNER, limit=limit, cursor=cursor
        )
    assert refused.value.status == status
