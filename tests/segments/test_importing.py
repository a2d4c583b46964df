import csv
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from segments.importing import (
    CHUNK,
    PROBLEMS_KEPT,
    ImportJob,
    ImportKind,
    ImportOutcome,
    Progress,
    run_import,
)
from segments.model import Db
from segments.reading import MAX_LINE, FileError
from segments.store import Counts
from tests.segments.builders import KEY, NOW, RULES, account, put_accounts, put_components

_CONTACTS = "external_id,account,name,email,phone\n"


def job(kind: ImportKind, path: Path, **fields: Any) -> ImportJob:
    return ImportJob(kind, path, RULES, KEY, NOW, **fields)


def _write(path: Path, text: str | bytes) -> None:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


async def import_text(
    conn: Db, kind: ImportKind, path: Path, text: str | bytes, **fields: Any
) -> ImportOutcome:
    _write(path, text)
    return await run_import(conn, job(kind, path, **fields))


def problems(outcome: ImportOutcome) -> list[tuple[int, str]]:
    return [(problem.line, problem.field) for problem in outcome.problems]


async def test_components_accounts_and_contacts_come_in_from_csv(conn: Db, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    await import_text(
        conn, ImportKind.COMPONENTS, path, "external_id,name,public_name\npay,pay-svc,Payments\n"
    )
    await import_text(
        conn,
        ImportKind.ACCOUNTS,
        path,
        "external_id,name,attributes.seats,attributes.tier,usage\nacme,Acme,900,,pay@eu;pay\n",
    )
    outcome = await import_text(
        conn,
        ImportKind.CONTACTS,
        path,
        "\ufeffexternal_id,account,name,roles,email,phone,sms_consent,sms_consent_source,"
        "subscriptions,quiet_from,quiet_until\r\n"
        'ada,acme,"Lovelace, Ada",admin; billing,ada@example.com,+1 202 555 0101,yes,form,'
        "email=no;pay/sms=yes,22:00,07:00\r\n",
    )

    assert outcome == ImportOutcome(
        written=True, records=1, counts=Counts(created=1), n_problems=0, problems=()
    )
    row = await conn.fetchrow(
        """select a.segment, v.name, c.roles, c.quiet_from::text from contact c
           join account a on a.id = c.account_id join contact_version v on v.id = c.version_id"""
    )
    assert row is not None
    assert tuple(row) == ("enterprise", "Lovelace, Ada", ["admin", "billing"], "22:00:00")
    assert await conn.fetchval("select count(*) from usage") == 2
    wishes = await conn.fetch("select channel, wanted from subscription order by channel")
    assert [tuple(wish) for wish in wishes] == [(1, False), (2, True)]
    assert await conn.fetchval("select consented from contact_endpoint where channel = 2") is True


async def test_contacts_come_in_from_json_lines(conn: Db, tmp_path: Path) -> None:
    await put_accounts(conn, account("acme"))
    lines = [{"external_id": f"p{n}", "account": "acme", "name": f"P {n}"} for n in range(3)]
    text = "\n\n".join(json.dumps(line) for line in lines)

    outcome = await import_text(conn, ImportKind.CONTACTS, tmp_path / "in.jsonl", text)

    assert outcome.counts == Counts(created=3)


async def test_a_column_that_is_not_there_leaves_the_field_alone(conn: Db, tmp_path: Path) -> None:
    await put_accounts(conn, account("acme"))
    path = tmp_path / "in.csv"
    text = f"{_CONTACTS}ada,acme,Ada,ada@example.com,+12025550101\n"
    await import_text(conn, ImportKind.CONTACTS, path, text)

    outcome = await import_text(
        conn, ImportKind.CONTACTS, path, "external_id,account,name,phone\nada,acme,Ada,\n"
    )

    assert outcome.counts == Counts(updated=1)
    live = await conn.fetch("select channel from contact_endpoint where removed_at is null")
    assert [row["channel"] for row in live] == [1]


async def test_bad_rows_are_named_by_line_field_and_reason_and_nothing_is_written(
    conn: Db, tmp_path: Path
) -> None:
    await put_accounts(conn, account("acme"))
    text = (
        f"{_CONTACTS}"
        "ada,acme,Ada,ada@example.com,\n"
        "bob,acme,Bob,bob@,12\n"
        "cid,acne,Cid,,\n"
        "dee,acme,Dee\n"
        "ada,acme,Ada,ada@example.com,\n"
        ",acme,Eve,,\n"
        'fay,acme,"Fay,,\n'
    )

    outcome = await import_text(conn, ImportKind.CONTACTS, tmp_path / "in.csv", text)

    assert problems(outcome) == [
        (3, "email"),
        (3, "phone"),
        (4, "account"),
        (5, ""),
        (6, "external_id"),
        (7, "external_id"),
        (8, ""),
    ]
    assert outcome.problems[3].reason == "has 3 cells instead of 5."
    assert not outcome.written
    assert outcome.counts == Counts()
    assert await conn.fetchval("select count(*) from contact") == 0


async def test_told_to_keep_going_good_rows_are_written_and_bad_ones_put_aside(
    conn: Db, tmp_path: Path
) -> None:
    await put_accounts(conn, account("acme"))
    rejects = tmp_path / "rejects.csv"
    text = f"{_CONTACTS}ada,acme,Ada,,\nbob,acme,Bob,bob@,\ncid,acne,Cid,,\n"

    outcome = await import_text(
        conn,
        ImportKind.CONTACTS,
        tmp_path / "in.csv",
        text,
        keep_going=True,
        reject_path=rejects,
    )

    assert (outcome.written, outcome.counts, outcome.n_problems) == (True, Counts(created=1), 2)
    with rejects.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["line"], row["field"], row["record"]) for row in rows] == [
        ("3", "email", "bob,acme,Bob,bob@,"),
        ("4", "account", "cid,acne,Cid,,"),
    ]
    assert stat.S_IMODE(rejects.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("in.csv", "", "is empty"),
        ("in.csv", "external_id,name\n", "columns are missing: account."),
        ("in.csv", _CONTACTS.replace("phone", "fone"), "column 'fone' is not known"),
        ("in.csv", _CONTACTS.replace("phone", "email"), "column 'email' occurs twice"),
        ("in.csv", _CONTACTS.encode("utf-16"), "is UTF-16; save it as UTF-8"),
        ("in.csv", b"external_id,\xff\n", ":1: is not UTF-8"),
        ("in.xlsx", "", "is neither .csv nor .jsonl"),
    ],
)
async def test_a_file_that_cannot_be_read_at_all_is_refused_with_what_to_do(
    conn: Db, tmp_path: Path, name: str, text: str | bytes, complaint: str
) -> None:
    with pytest.raises(FileError) as refused:
        await import_text(conn, ImportKind.CONTACTS, tmp_path / name, text)

    assert complaint in str(refused.value)
    assert name in str(refused.value)


async def test_a_file_that_is_not_there_is_named(conn: Db, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"gone\.csv cannot be read: No such file"):
        await run_import(conn, job(ImportKind.CONTACTS, tmp_path / "gone.csv"))


async def test_lines_that_are_no_text_or_no_record_are_problems_of_their_own(
    conn: Db, tmp_path: Path
) -> None:
    await put_accounts(conn, account("acme"))
    good = json.dumps({"external_id": "ada", "account": "acme", "name": "Ada"}).encode()
    long = b'{"name": "' + b"x" * (3 * MAX_LINE) + b'"}'
    lines = [b"\xff\xfe!", b"{", b"[]", long, b"null", good]

    outcome = await import_text(
        conn,
        ImportKind.CONTACTS,
        tmp_path / "in.jsonl",
        b"!\n" + b"\n".join(lines),
        keep_going=True,
    )

    assert [problem.line for problem in outcome.problems] == [1, 2, 3, 4, 5, 6]
    reasons = [problem.reason for problem in outcome.problems]
    assert reasons[1].startswith("is not UTF-8 (byte 1)")
    assert reasons[2].startswith("is not JSON")
    assert reasons[4] == f"is longer than {MAX_LINE} bytes."
    assert outcome.counts == Counts(created=1)


async def test_an_import_that_fails_half_way_leaves_nothing(conn: Db, tmp_path: Path) -> None:
    await put_accounts(conn, account("acme"))
    path = tmp_path / "in.csv"
    path.write_text(_CONTACTS + "".join(f"p{n},acme,P {n},,\n" for n in range(CHUNK + 50)))

    def interrupt(progress: Progress) -> None:
        raise KeyboardInterrupt(progress.records)

    with pytest.raises(KeyboardInterrupt):
        await run_import(conn, job(ImportKind.CONTACTS, path), interrupt)

    assert await conn.fetchval("select count(*) from contact") == 0


async def test_a_problem_in_a_late_chunk_undoes_the_early_ones_and_repeats_are_found_across(
    conn: Db, tmp_path: Path
) -> None:
    await put_accounts(conn, account("acme"))
    rows = "".join(f"p{n},acme,P {n},,\n" for n in range(CHUNK + 50))

    outcome = await import_text(
        conn, ImportKind.CONTACTS, tmp_path / "in.csv", f"{_CONTACTS}{rows}p7,acme,Other,,\n"
    )

    assert problems(outcome) == [(CHUNK + 52, "external_id")]
    assert outcome.problems[0].reason == "occurs before, on line 9."
    assert await conn.fetchval("select count(*) from contact") == 0


async def test_rows_of_two_chunks_come_in_with_progress_and_again_change_nothing(
    conn: Db, tmp_path: Path
) -> None:
    n_rows = CHUNK + 20
    await put_components(conn, "checkout")
    usage = [{"component": "checkout"}]
    await put_accounts(conn, *(account(f"a{n}", usage=usage) for n in range(100)))
    path = tmp_path / "in.csv"
    rows = (
        f"p{n},a{n % 100},P {n},p{n}@example.com,+1{200 + n // 100}55501{n % 100:02},sms=no\n"
        for n in range(n_rows)
    )
    path.write_text(_CONTACTS.replace("phone", "phone,subscriptions") + "".join(rows))
    seen: list[Progress] = []

    first = await run_import(conn, job(ImportKind.CONTACTS, path), seen.append)
    again = await run_import(conn, job(ImportKind.CONTACTS, path))

    assert first.counts == Counts(created=n_rows)
    assert again.counts == Counts(unchanged=n_rows)
    assert [progress.records for progress in seen] == [CHUNK, n_rows]
    assert seen[-1].size == path.stat().st_size == seen[-1].done
    assert await conn.fetchval("select count(*) from endpoint") == 2 * n_rows
    assert await conn.fetchval("select count(*) from subscription") == n_rows


async def test_what_looks_like_syntax_arrives_as_it_was_written(conn: Db, tmp_path: Path) -> None:
    name, roles = 'A\\N \\. \\t"{x},NULL', ["null", "admin"]
    record = {"external_id": "\\N", "account": "acme", "name": name, "roles": roles}
    await put_accounts(conn, account("acme"))

    await import_text(conn, ImportKind.CONTACTS, tmp_path / "in.jsonl", json.dumps(record))

    row = await conn.fetchrow(
        "select c.external_id, v.name, c.roles from contact c join contact_version v on v.id = version_id"
    )
    assert row is not None
    assert tuple(row) == ("\\N", name, sorted(roles))


async def test_a_file_of_nothing_but_problems_is_taken_in_small_bites(
    conn: Db, tmp_path: Path
) -> None:
    wishes: list[object] = [{}] * 1000
    record = {"external_id": "p", "account": "a", "name": "P", "subscriptions": wishes}
    path = tmp_path / "in.jsonl"
    path.write_text(f"{json.dumps(record)}\n" * 12)
    seen: list[Progress] = []

    outcome = await run_import(conn, job(ImportKind.CONTACTS, path), seen.append)

    assert [progress.records for progress in seen] == [5, 10, 12]
    assert (outcome.n_problems, len(outcome.problems)) == (24_000, PROBLEMS_KEPT)
