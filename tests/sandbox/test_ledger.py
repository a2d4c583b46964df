"""The ledger: rows for everything, bodies for the latest, a journal across restarts."""

from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from dispatcher.sandbox import Ledger, Provider
from dispatcher.sandbox.journal import Journal, Line
from dispatcher.sandbox.ledger import Acceptance, Entry
from tests.sandbox.clients import Clients, mail_to
from tests.sandbox.conftest import Open
from tests.sandbox.product import Product


class Letters:
    """Bodies that say which recipient they are for."""

    def entry(self, acceptance: Acceptance, index: int) -> Entry:
        return Entry(
            seq=acceptance.first + index,
            provider=acceptance.provider,
            key=acceptance.keys[index],
            request_id=acceptance.request_id,
            at=acceptance.at,
            provider_ref=acceptance.provider_ref,
            sender="status@example.com",
            to=f"{acceptance.keys[index]}@example.com",
            text=f"Dear {acceptance.keys[index]}",
        )


def line(*keys: str, provider: Provider = Provider.SENDGRID) -> Line:
    return {"provider": provider.value, "at": 1.5, "rq": "r", "ref": "m", "keys": list(keys)}


def test_rows_are_numbered_over_all_requests_and_count_repeated_keys() -> None:
    ledger = Ledger(10)
    ledger.record(line("a", "b", "a"), Letters())
    ledger.record(line("b"), Letters())
    ledger.record(line("b", provider=Provider.TWILIO), Letters())
    rows = [(row["seq"], row["provider"], row["key"], row["count"]) for row in ledger.rows()]
    assert rows == [
        (1, "sendgrid", "a", 1),
        (2, "sendgrid", "b", 1),
        (3, "sendgrid", "a", 2),
        (4, "sendgrid", "b", 2),
        (5, "twilio", "b", 1),
    ]
    assert ledger.accepted == {Provider.SENDGRID: 4, Provider.TWILIO: 1, Provider.X: 0}
    assert ledger.duplicates[Provider.SENDGRID] == 2


@pytest.mark.parametrize(
    ("after", "limit", "seqs"),
    [
        (0, None, [1, 2, 3, 4, 5, 6]),
        (0, 4, [1, 2, 3, 4]),
        (2, 2, [3, 4]),
        (3, None, [4, 5, 6]),
        (5, None, [6]),
        (6, None, []),
        (99, None, []),
    ],
)
def test_rows_can_be_paged_within_and_across_requests(
    after: int, limit: int | None, seqs: list[int]
) -> None:
    ledger = Ledger(10)
    ledger.record(line("a", "b", "c"), Letters())
    ledger.record(line("d"), Letters())
    ledger.record(line("e", "f"), Letters())
    assert [row["seq"] for row in ledger.rows(after, limit)] == seqs


def test_bodies_of_the_latest_mails_stay_and_rows_of_all() -> None:
    ledger = Ledger(4)
    for number in range(10):
        ledger.record(line(f"a{number}", f"b{number}"), Letters())
    assert len(ledger) == 20
    assert [entry.key for entry in ledger.entries(Provider.SENDGRID)] == ["b9", "a9", "b8", "a8"]
    assert ledger.entry(18) is not None
    assert ledger.entry(16) is None


def test_many_mails_do_not_push_out_the_texts() -> None:
    ledger = Ledger(2)
    ledger.record(line("t", provider=Provider.TWILIO), Letters())
    for number in range(10):
        ledger.record(line(f"m{number}"), Letters())
    assert [entry.key for entry in ledger.entries(Provider.TWILIO)] == ["t"]


def test_entries_are_found_by_recipient_and_by_key() -> None:
    ledger = Ledger(10)
    ledger.record(line("a", "b", "a"), Letters())
    assert [one.seq for one in ledger.entries(Provider.SENDGRID, to="a@example.com")] == [3, 1]
    assert [one.seq for one in ledger.entries(Provider.SENDGRID, key="b")] == [2]
    assert len(ledger.entries(Provider.SENDGRID, limit=2)) == 2


@pytest.mark.parametrize("seq", [0, -1, 4])
def test_there_is_no_entry_where_there_is_no_row(seq: int) -> None:
    ledger = Ledger(10)
    ledger.record(line("a", "b", "c"), Letters())
    assert ledger.entry(seq) is None


def test_equal_bodies_have_equal_hashes_and_others_do_not() -> None:
    ledger = Ledger(10)
    ledger.record(line("a", "a", "b"), Letters())
    last, second, first = ledger.entries(Provider.SENDGRID)
    assert first.body_hash == second.body_hash != last.body_hash


def test_a_journal_brings_the_rows_back(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "ledger.jsonl"
    with closing(Journal(path)) as journal:
        before = Ledger(10, journal)
        before.record(line("a", "b"), Letters())
        before.record(line("a", provider=Provider.X), Letters())
    with closing(Journal(path)) as journal:
        after = Ledger(10, journal)
        after.record(line("a"), Letters())
    assert list(after.rows())[:3] == list(before.rows())
    assert next(after.rows(3))["count"] == 2


def test_a_journal_cut_in_mid_line_loses_that_line_only(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(orjson.dumps(line("a")) + b"\n" + orjson.dumps(line("b"))[:20])
    for keys in (["a", "c"], ["a", "c", "c"]):
        with closing(Journal(path)) as journal:
            ledger = Ledger(10, journal)
            ledger.record(line("c"), Letters())
        assert [row["key"] for row in ledger.rows()] == keys


async def test_the_ledger_is_read_page_by_page_over_http(clients: Clients) -> None:
    await clients.send_mail(mail_to([f"p{number}@example.com" for number in range(25)]))
    keys: list[str] = []
    after = 0
    while True:
        _, body = await clients.control("GET", f"ledger?after={after}&limit=10")
        rows: list[dict[str, Any]] = [orjson.loads(row) for row in body.splitlines()]
        if not rows:
            break
        assert len(rows) <= 10
        keys += [row["key"] for row in rows]
        after = rows[-1]["seq"]
    assert keys == [f"k-{number}" for number in range(25)]


async def test_a_long_page_arrives_whole(clients: Clients) -> None:
    for number in range(3):
        addresses = [f"p{index}@example.com" for index in range(1000)]
        await clients.send_mail(mail_to(addresses, key=f"{number}-{{}}"))
    _, body = await clients.control("GET", "ledger?limit=2500")
    assert [orjson.loads(row)["seq"] for row in body.splitlines()] == list(range(1, 2501))


@pytest.mark.parametrize("query", ["ledger?after=x", "ledger?limit=-1", "messages?provider=post"])
async def test_malformed_questions_are_answered_400(clients: Clients, query: str) -> None:
    assert (await clients.control("GET", query))[0] == 400


async def test_messages_are_shown_as_their_recipients_see_them(clients: Clients) -> None:
    await clients.send_mail(mail_to(["anna@example.com", "ben@example.com"]))
    _, messages = await clients.control("GET", "messages?provider=sendgrid&to=ben@example.com")
    (ben,) = messages
    assert ben["text"] == "Dear Person 1"
    assert ben["key"] == "k-1"
    assert len(ben["body_hash"]) == 64
    _, none = await clients.control("GET", "messages?provider=sendgrid&key=k-7")
    assert none == []


async def test_statistics_count_acceptances_duplicates_and_receipts_under_way(
    open_sandbox: Open,
) -> None:
    clients = await open_sandbox(receipts_after=(60, 60))
    await clients.send_mail(mail_to(["anna@example.com"]))
    await clients.send_mail(mail_to(["anna@example.com"]))
    await clients.text("+12125550101")
    _, stats = await clients.control("GET", "stats")
    assert stats["rows"] == 3
    assert stats["accepted"] == {"sendgrid": 2, "twilio": 1, "x": 0}
    assert stats["duplicates"] == {"sendgrid": 1, "twilio": 0, "x": 0}
    assert stats["pending_receipts"] > 0


async def test_a_reset_forgets_everything(open_sandbox: Open, tmp_path: Path) -> None:
    journal = tmp_path / "ledger.jsonl"
    clients = await open_sandbox(receipts_after=(60, 60), journal=journal)
    await clients.send_mail(mail_to(["anna@example.com"]))
    await clients.text("+12125550101")
    await clients.tweepy().create_tweet(text="Checkout is slow.")
    await clients.fault(provider="x", kind="slow", seconds=1)
    assert journal.stat().st_size > 0
    await clients.control("POST", "reset", {})
    _, stats = await clients.control("GET", "stats")
    assert (stats["rows"], stats["pending_receipts"], stats["faults"]) == (0, 0, 0)
    assert journal.stat().st_size == 0
    assert await clients.twilio().messages.list_async() == []
    await clients.tweepy().create_tweet(text="Checkout is slow.")


async def test_a_restarted_sandbox_with_a_journal_still_knows_what_it_took(
    open_sandbox: Open, tmp_path: Path
) -> None:
    journal = tmp_path / "ledger.jsonl"
    first = await open_sandbox(journal=journal)
    await first.send_mail(mail_to(["anna@example.com"]))
    await first.sandbox.stop()
    second = await open_sandbox(journal=journal)
    await second.send_mail(mail_to(["anna@example.com"]))
    assert [row["count"] for row in second.sandbox.ledger.rows()] == [1, 2]
    refs = {acceptance.provider_ref for acceptance in second.sandbox.ledger._acceptances}
    assert len(refs) == 2


async def test_the_product_can_tell_where_it_listens_after_the_start(
    open_sandbox: Open, product: Product
) -> None:
    clients = await open_sandbox(receipts_url=None)
    given = {"url": product.url + "/", "public_url": "https://tidings.example.com"}
    assert (await clients.control("POST", "receipts", given))[0] == 200
    await clients.send_mail(mail_to(["anna@example.com"]))
    await clients.sandbox.settled()
    assert product.names("anna@example.com") == ["processed", "delivered"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("inbound", {"from": "anna", "to": "+15005550006", "body": "STOP"}),
        ("inbound", {"to": "+15005550006", "body": "STOP"}),
        ("inbound", {"from": "+12125550101", "to": "+1", "body": "STOP", "colour": "red"}),
        ("inbound", ["STOP"]),
        ("receipts", {"address": "http://127.0.0.1"}),
        ("receipts", "http://127.0.0.1"),
    ],
)
async def test_malformed_orders_are_refused_with_the_field(
    clients: Clients, path: str, body: object
) -> None:
    status, answer = await clients.control("POST", path, body)
    assert status == 422
    assert answer["errors"]


async def test_a_body_that_is_not_json_is_refused(clients: Clients) -> None:
    url = f"{clients.sandbox.url}/sandbox/faults"
    async with clients.session.post(url, data=b"{") as answer:
        assert answer.status == 400


async def test_an_inbound_text_without_a_listening_product_reaches_nobody(
    open_sandbox: Open,
) -> None:
    clients = await open_sandbox(receipts_url=None)
    text = {"from": "+12125550101", "to": "+15005550006", "body": "STOP"}
    assert await clients.control("POST", "inbound", text) == (200, {"webhook_status": None})
