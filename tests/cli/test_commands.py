"""Verbs end to end: what they print, what they change, and how they fail."""

import re
import socket
from pathlib import Path
from typing import Any

import pytest

from dispatcher.db import Connection
from tests.cli.conftest import Tidings

pytestmark = pytest.mark.timeout(180)

ACCOUNTS = (
    '{"external_id": "acme", "name": "Acme", "attributes": {"tier": "enterprise"},'
    ' "usage": [{"component": "checkout"}]}\n'
)
COMPONENTS = "external_id,name\ncheckout,checkout-api\n"
CONTACTS = (
    "external_id,account,name,email\nann,acme,Ann,ann@example.com\nbob,acme,Bob,not an address\n"
)
UPDATE = """
source: monitoring
status: investigating
incident: {external_id: INC-42, severity: P1, component_ids: [checkout]}
facts:
  title: Some customers cannot check out
  impact: About one in five card payments fails.
  next_update_by: 2099-01-01T12:00:00Z
"""


def one_sentence(text: str) -> bool:
    return text.startswith("tidings: ") and "Traceback" not in text


async def test_without_any_dispatch_the_report_says_so(tidings: Tidings) -> None:
    words, as_json = await tidings("report"), await tidings("report", "--json")
    assert words.code == as_json.code == 0
    assert "No update has been sent yet" in words.out
    assert as_json.json is None


async def test_a_wrong_setting_or_place_ends_in_a_sentence_and_its_own_code(
    tidings: Tidings, tmp_path: Path
) -> None:
    (tmp_path / "policy.toml").write_text("[severity]\n")
    nowhere = "postgresql://nobody:hunter2@127.0.0.1:1/none"
    results = [
        await tidings("report", TIDINGS_DATABASE__URL=nowhere),
        await tidings("report", TIDINGS_WEB__PROT="1"),
        await tidings("report", TIDINGS_POLICY_FILE=str(tmp_path / "policy.toml")),
        await tidings("report", "dsp_forged"),
        await tidings("send", "missing.yaml"),
        await tidings("verify", "--ledger", "http://127.0.0.1:1"),
    ]
    assert [result.code for result in results] == [3, 2, 2, 2, 2, 3]
    assert all(one_sentence(result.err) for result in results)
    assert "127.0.0.1:1/none" in results[0].err
    assert "hunter2" not in results[0].err
    assert "TIDINGS_WEB__PORT" in results[1].err
    assert "policy.toml:1" in results[2].err


async def test_an_address_that_is_none_is_a_mistake_in_the_settings_and_not_repeated(
    tidings: Tidings,
) -> None:
    for address, says in {
        "mysql://u:hunter2@127.0.0.1/none": "must begin with postgresql://",
        "postgresql://u:hunter2@127.0.0.1:port/none": "a port that is no number",
        "postgresql://u:12/hunter2@127.0.0.1:1/none": "%2F",
        "postgresql://u:12#hunter2@127.0.0.1:1/none": "%23",
        "postgresql://u:hunter2@hunter2@127.0.0.1:1/none": "%40",
        "postgresql://u:12?hunter2@127.0.0.1:1/none": "%3F",
        "postgresql://u:hunter2@[127.0.0.1:1/none": "brackets",
        "postgresql://u:hunter2@127.0.0.1:1/none?sslmode=hunter2": "is not a PostgreSQL address",
        "postgresql://u:hunter2@127.0.0.1:1/none?hunter2": "not name=value",
    }.items():
        said = await tidings("report", TIDINGS_DATABASE__URL=address)
        assert (said.code, says in said.err) == (2, True), (said, address)
        assert "hunter2" not in said.out + said.err


async def test_a_key_is_shown_once_and_can_be_revoked(tidings: Tidings) -> None:
    made = await tidings("keys", "create", "monitoring")
    assert re.fullmatch(r"tidings_live_[0-9a-f]{12}_[0-9a-f]{64}\n", made.out)
    key_id, secret = made.out.strip().split("_")[2:]
    listed = await tidings("keys", "list", "--json")
    assert secret not in listed.out
    keys: Any = listed.json
    assert [(key["id"], key["scopes"]) for key in keys["data"]] == [(key_id, ["updates:write"])]
    assert (await tidings("keys", "revoke", key_id, "--yes")).code == 0
    assert (await tidings("keys", "revoke", key_id, "--yes")).code == 2


async def filled(tidings: Tidings, folder: Path) -> None:
    """Acme with Ann, and a second contact who cannot be imported."""
    (folder / "components.csv").write_text(COMPONENTS)
    (folder / "accounts.jsonl").write_text(ACCOUNTS)
    (folder / "contacts.csv").write_text(CONTACTS)
    assert (await tidings("import", "components", "components.csv")).code == 0
    assert (await tidings("import", "accounts", "accounts.jsonl")).code == 0
    refused = await tidings("import", "contacts", "contacts.csv")
    assert (refused.code, refused.out) == (2, "2 contacts read, nothing imported.\n")
    assert "line 3: email is not an e-mail address" in refused.err
    kept = await tidings("import", "contacts", "contacts.csv", "--continue", "--rejects", "bad.csv")
    assert (kept.code, kept.out.split(":")[1].split(",")[0]) == (2, " 1 new")
    assert "not an address" in (folder / "bad.csv").read_text()


async def test_an_update_goes_from_a_file_into_a_dispatch_exactly_once(
    tidings: Tidings, tmp_path: Path, conn: Connection
) -> None:
    await filled(tidings, tmp_path)
    (tmp_path / "update.yaml").write_text(UPDATE)
    counted, explained, looked = [
        await tidings("audience", "count", "update.yaml", "--json"),
        await tidings("audience", "explain", "update.yaml", "ann"),
        await tidings("send", "update.yaml", "--dry-run"),
    ]
    rows: Any = counted.json
    assert {"segment": "enterprise", "channel": "email", "reason": None, "people": 1} in rows
    assert "email: yes" in explained.out
    assert "Some customers cannot check out" in looked.out
    assert await conn.fetchval("select count(*) from incident_update") == 0

    first = await tidings("send", "update.yaml", "--json")
    again = await tidings("send", "-", stdin=UPDATE)
    assert "Already sent" in again.out
    assert await conn.fetchval("select count(*) from incident_update") == 1
    sent: Any = first.json
    report = await tidings("report", "--json")
    found: Any = report.json
    assert (found["dispatch"], found["incident"]["external_id"]) == (sent["dispatch_id"], "INC-42")
    stopped = await tidings("dispatches", "cancel", sent["dispatch_id"], "--yes")
    assert (stopped.code, stopped.out) == (0, "0 withdrawn.\n")


async def test_an_update_that_names_what_is_unknown_is_refused_by_field(tidings: Tidings) -> None:
    refused = await tidings("send", "-", stdin=UPDATE)
    assert refused.code == 2
    assert "/incident/component_ids/0: There is no component 'checkout'" in refused.err
    broken = await tidings("send", "-", stdin="status: [")
    assert (broken.code, one_sentence(broken.err)) == (2, True)


async def test_doctor_names_what_is_missing_and_how_to_mend_it(tidings: Tidings) -> None:
    healthy, lost = [
        await tidings("doctor", "--json"),
        await tidings("doctor", TIDINGS_DATABASE__URL="postgresql://127.0.0.1:1/none"),
    ]
    findings: Any = healthy.json
    marks = {finding["what"]: finding["mark"] for finding in findings}
    assert healthy.code == 0
    assert (marks["database"], marks["migrations"], marks["email"]) == ("ok", "ok", "note")
    assert lost.code == 1
    assert "WRONG database" in lost.out
    assert "TIDINGS_DATABASE__URL" in lost.out


async def test_a_port_in_use_is_named_as_such(tidings: Tidings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        results = [await tidings(verb, "--port", port) for verb in ("serve", "sandbox")]
    assert [result.code for result in results] == [3, 3]
    assert all(f"Port {port} of 127.0.0.1 is in use" in result.err for result in results)
