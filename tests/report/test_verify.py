from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from channels.model import ChannelKind, Fact
from dispatcher.ids import DeliveryKey
from dispatcher.rules.policy import load_policy
from dispatcher.rules.states import DeliveryState, SliceState
from dispatcher.stages.report import DIFFERENCES, Differences, roll_up, verify_ledger
from dispatcher.stages.report import verify as module
from tests.report.rows import SIGNER, Book, Person, Row, accepted, at, lost, told, waiting

EMAIL, SOCIAL, BANNER = ChannelKind.EMAIL, ChannelKind.SOCIAL, ChannelKind.BANNER


@dataclass(frozen=True)
class Acceptance:
    provider: str
    key: str


def mail(book: Book, person: Person, attempt: int = 1) -> Acceptance:
    key = DeliveryKey(book.update, EMAIL.code, person.endpoints[EMAIL], 1, attempt)
    return Acceptance("sendgrid", SIGNER.delivery_key(key))


async def verify(book: Book, *rows: Acceptance) -> Differences:
    async def ledger() -> AsyncIterator[Acceptance]:
        for row in rows:
            yield row

    return await verify_ledger(book.conn, ledger(), signer=SIGNER)


def found(result: Differences) -> dict[str, int]:
    return {name: getattr(result, name) for name in DIFFERENCES if getattr(result, name)}


@pytest.fixture
async def ada(book: Book) -> Person:
    person = await book.person("Ada", await book.account("Big"), EMAIL, BANNER)
    await book.open()
    return person


async def test_a_true_record_has_no_difference(book: Book, ada: Person) -> None:
    bob = await book.person("Bob", ada.account, EMAIL)
    await book.slice("smb", EMAIL, told(ada, 3), lost(bob, 2, DeliveryState.SUPPRESSED))
    await book.slice("smb", BANNER, accepted(ada))
    _, voice = await book.endpoint(SOCIAL, "@acme")
    post = Row(None, DeliveryState.ACCEPTED, ((1, Fact.POSTED),), public=voice)
    await book.slice("", SOCIAL, post, text="Some customers cannot pay")
    result = await verify(book, mail(book, ada), Acceptance("x", "Some customers cannot pay"))
    assert found(result) == {}
    assert (result.total, result.acceptances, result.deliveries) == (0, 2, 3)


async def test_accepted_here_and_not_there_is_found(book: Book, ada: Person) -> None:
    await book.slice("smb", EMAIL, accepted(ada))
    result = await verify(book)
    assert found(result) == {"without_acceptance": 1}
    assert result.samples["without_acceptance"] == [f"{book.update}/email/{ada.endpoints[EMAIL]}"]


async def test_an_acceptance_of_something_never_planned_is_found(book: Book, ada: Person) -> None:
    result = await verify(
        book, mail(book, ada), Acceptance("sendgrid", "forged"), Acceptance("x", "never said")
    )
    assert found(result) == {"without_delivery": 3}
    assert result.acceptances == 3


async def test_a_message_that_left_although_we_say_it_did_not_is_found(
    book: Book, ada: Person
) -> None:
    await book.slice("smb", EMAIL, Row(ada, DeliveryState.SUPERSEDED))
    assert found(await verify(book, mail(book, ada))) == {"not_recorded": 1}


async def test_a_second_acceptance_is_found_unless_it_was_flagged(book: Book, ada: Person) -> None:
    number = await book.slice("smb", EMAIL, accepted(ada))
    twice = mail(book, ada), mail(book, ada, attempt=2)
    assert found(await verify(book, *twice)) == {"more_than_once": 1}
    await book.conn.execute("update slice set maybe_duplicate = true where id = $1", number)
    flagged = await verify(book, *twice)
    assert (found(flagged), flagged.maybe_duplicates) == ({}, 1)
    assert found(await verify(book, *twice, mail(book, ada, 3))) == {"more_than_once": 1}


async def test_what_is_still_open_is_a_difference_and_what_is_unknown_is_told(
    book: Book, ada: Person
) -> None:
    bob = await book.person("Bob", ada.account, EMAIL)
    await book.slice("smb", EMAIL, waiting(ada), state=SliceState.RELEASED)
    await book.slice("smb", EMAIL, Row(bob, DeliveryState.UNCONFIRMED))
    result = await verify(book, mail(book, bob))
    assert (found(result), result.unconfirmed) == ({"still_open": 1}, 1)


async def test_a_counter_that_no_recount_confirms_is_found(book: Book, ada: Person) -> None:
    number = await book.slice("smb", EMAIL, told(ada, 3))
    await book.conn.execute("update slice set n_by_status[3] = 1, n_by_status[4] = 0")
    result = await verify(book, mail(book, ada))
    assert found(result) == {"miscounted": 1}
    assert result.samples == {"miscounted": [f"slice {number}"]}


async def test_counts_of_an_account_that_no_recount_confirms_are_found(
    book: Book, ada: Person
) -> None:
    await book.slice("smb", EMAIL, told(ada, 3))
    async with book.conn.transaction():
        await roll_up(book.conn, book.dispatch, policy=load_policy(None), now=at(5))
    ledger = mail(book, ada)
    assert found(await verify(book, ledger)) == {}
    for wrong in ("n = 2", "n_by_status[4] = 2", "first_told_at = null"):
        await book.conn.execute(f"update account_update set {wrong}")
        result = await verify(book, ledger)
        assert found(result) == {"miscounted_accounts": 1}, wrong
        name = f"account {ada.account} of update {book.update}"
        assert result.samples == {"miscounted_accounts": [name]}
    await book.conn.execute("delete from account_update")
    assert found(await verify(book, ledger)) == {"miscounted_accounts": 1}


async def test_counts_of_an_account_are_rolled_up_before_they_are_judged(
    book: Book, ada: Person
) -> None:
    number = await book.slice("smb", EMAIL, accepted(ada))
    async with book.conn.transaction():
        await roll_up(book.conn, book.dispatch, policy=load_policy(None), now=at(5))
    await book.prove(number, EMAIL, ada, 7)
    assert found(await verify(book, mail(book, ada))) == {}
    assert await book.conn.fetchval("select first_told_at from account_update") == at(7)


async def test_counts_of_an_update_still_being_planned_are_not_judged(
    book: Book, ada: Person
) -> None:
    await book.conn.execute("update dispatch set state = 'planning'")
    await book.slice("smb", EMAIL, told(ada, 3))
    assert found(await verify(book, mail(book, ada))) == {}


async def test_a_ledger_longer_than_a_block_is_compared_whole(book: Book, ada: Person) -> None:
    await book.slice("smb", EMAIL, accepted(ada))
    many = [mail(book, ada)] * (module.BLOCK + 1)
    result = await verify(book, *many)
    assert (result.acceptances, found(result)) == (module.BLOCK + 1, {"more_than_once": 1})


async def test_an_empty_ledger_and_no_delivery_agree(book: Book) -> None:
    result = await verify(book)
    assert result == replace(result, acceptances=0, deliveries=0)
    assert result.total == 0
