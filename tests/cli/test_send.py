"""`tidings send`: whatever a person, an editor or another program hands it."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from dispatcher.cli.syntax import parsed
from dispatcher.cli.update import EXAMPLE
from dispatcher.db import Connection
from tests.cli.conftest import Tidings
from tests.cli.test_commands import filled, one_sentence

JSON = orjson.dumps(parsed(EXAMPLE))
JSON_OF_MANY_LINES = b"""{
  "source": "shop",
  "incident": {"external_id": "INC-42",
    "component_ids": [
      42
]}, "status": "investigating"}"""
NOT_SENT = {
    "is empty": b" \n",
    "is UTF-16": "source: x".encode("utf-16"),
    "is not UTF-8 text, see line 2": b"a: b\nc: \xff",
    "zero byte": b"a: \x00",
    "is larger than": b"# " + b"x" * (1024 * 1024),
    "must hold names and values": b"- a",
    "not valid YAML: expected the node content": b"status: [",
    "not valid JSON": b'{"source": }',
    "several documents": EXAMPLE.encode() + b"---\n" + EXAMPLE.encode(),
    "U+0000": b'{"source": "a\\u0000"}',
    "line 2, /incident: Must be an object": b"source: shop\nincident:\n  external_id INC-42\n",
    "line 5, /incident/component_ids/0: Must be text": JSON_OF_MANY_LINES,
    "did you mean source?": EXAMPLE.replace("source:", "sorce:").encode(),
    "/facts/title: Must be text: put it in quotes": EXAMPLE.replace(
        "title: Some customers cannot check out", "title: 42"
    ).encode(),
}


async def test_what_cannot_be_an_update_is_refused_in_a_sentence(tidings: Tidings) -> None:
    for says, raw in NOT_SENT.items():
        refused = await tidings("send", "-", "--json", stdin=raw)
        assert (refused.code, refused.out, one_sentence(refused.err)) == (2, "", True), says
        assert says in refused.err
    assert (await tidings("send", "--dry-run", "--mode", "draft", "-", stdin=EXAMPLE)).code == 2


async def test_an_update_is_known_by_what_it_says_not_by_how_it_is_written(
    tidings: Tidings, tmp_path: Path, conn: Connection
) -> None:
    await filled(tidings, tmp_path)
    (tmp_path / "update.txt").write_bytes(b"\xef\xbb\xbf" + EXAMPLE.replace("\n", "\r\n").encode())
    first = await tidings("send", "update.txt", "--json")
    (tmp_path / "update.yaml").write_bytes(b"\xef\xbb\xbf" + JSON)
    again = await tidings("send", "update.yaml", "--json")
    assert (first.code, again.code) == (0, 0), first.err + again.err
    assert again.json == first.json
    assert await conn.fetchval("select count(*) from incident_update") == 1


async def test_a_mode_at_the_command_line_stands_above_that_of_the_file(
    tidings: Tidings, tmp_path: Path, conn: Connection
) -> None:
    await filled(tidings, tmp_path)
    looked: Any = (await tidings("send", "-", "--mode", "dry_run", "--json", stdin=EXAMPLE)).json
    assert looked["mode"] == "dry_run"
    kept = await tidings("send", "-", "--mode", "draft", stdin=EXAMPLE + "mode: auto\n")
    assert "Kept as a draft, complete. Look: tidings drafts show upd_" in kept.out
    assert await conn.fetchval("select count(*) from dispatch") == 0


@pytest.mark.parametrize("verb", ["send", "audience"])
async def test_help_says_how_an_update_looks_and_when_it_ends_how(
    tidings: Tidings, verb: str
) -> None:
    said = await tidings(verb, "-h", COLUMNS="100")
    assert said.code == 0
    assert ("component_ids:" in said.out) is (verb == "send")
