"""`tidings drafts edit` without a file: in the editor of whoever sits there."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from dispatcher.cli.syntax import as_yaml, parsed
from dispatcher.cli.update import EXAMPLE
from tests.cli.conftest import Result, Tidings

AWKWARD = (
    *("no", "1e5", "22:00", "null", " a: b ", "# no comment", "-", ""),
    *("two\nlines\n", "two \nlines", "é\u2028"),
)


@pytest.mark.parametrize("text", AWKWARD)
def test_what_is_shown_is_read_as_what_it_was(text: str) -> None:
    value = {"facts": {"title": text, "steps": [text, 5, None, True]}, "note": text * 60}
    assert parsed(as_yaml(value)) == value


async def draft_of(tidings: Tidings) -> str:
    await tidings("components", "set", "checkout", "-", stdin="name: Checkout")
    said = await tidings("send", "-", "--mode", "draft", "--json", stdin=EXAMPLE)
    assert isinstance(said.json, dict)
    return str(said.json["update_id"])


async def test_a_draft_is_changed_in_an_editor_as_it_was_seen_and_a_mistake_loses_nothing(
    tidings: Tidings, tmp_path: Path
) -> None:
    draft = await draft_of(tidings)
    script, seen = tmp_path / "editor", tmp_path / "seen"

    async def edit(doing: str, *more: str) -> Result:
        look = f'stat -c %a "$1" > {seen}; echo "$1" >> {seen}; cat "$1" >> {seen}'
        script.write_text(f"#!/bin/sh\n{look}\n{doing}\n")
        script.chmod(0o700)
        words = ("drafts", "edit", draft, "--json", *more)
        return await tidings(*words, typed="", VISUAL="", EDITOR=f"{script}")

    def file() -> Path:
        return Path(seen.read_text().splitlines()[1])

    before: Any = (await tidings("drafts", "show", draft, "--json")).json
    same: Any = (await edit(": leave it")).json
    assert same == before
    mode, _, *shown = seen.read_text().splitlines()
    assert (mode, shown[0].startswith(f"# {draft}, of INC-42.")) == ("600", True)
    assert "  title: Some customers cannot check out" in shown
    assert not file().parent.exists()

    both = "s/^  title: Some/  title: Many/; s/^severity: P1/severity: P0/"
    made: Any = (await edit(f"""sed -i '{both}' "$1" """)).json
    assert (made["facts"]["title"], made["severity"]) == ("Many customers cannot check out", "P0")
    assert made["facts"]["impact"] == before["facts"]["impact"]
    assert made["changes"] == 1
    assert not file().parent.exists()

    line = seen.read_text().splitlines().index("severity: P1") - 1
    for doing, says in {
        """sed -i 's/^severity: .*/severity: P9/' "$1" """: f"line {line}, /severity:",
        """sed -i 's/^severity: .*/severity: [/' "$1" """: "is not valid YAML",
        """sed -i 's/- checkout/- nowhere/' "$1" """: "/component_ids/0: ",
        """printf '\\377' >> "$1" """: "is not UTF-8 text",
    }.items():
        wrong = await edit(doing)
        assert (wrong.code, says in wrong.err) == (2, True), wrong.err
        assert f"stays in {file()}" in wrong.err
        assert file().stat().st_mode & 0o077 == 0
        shutil.rmtree(file().parent)

    other = f"{sys.executable} -m dispatcher.cli drafts edit {draft} --set note=theirs > /dev/null"
    late = await edit(f"""{other}; sed -i 's/^note: .*/note: ours/' "$1" """)
    assert (late.code, "changed it meanwhile" in late.err, file().exists()) == (2, True, True), late
    now: Any = (await tidings("drafts", "show", draft, "--json")).json
    assert (now["note"], now["severity"]) == ("theirs", "P0")
    shutil.rmtree(file().parent)

    assert "ended with 7" in (await edit("exit 7")).err
    assert not file().parent.exists()
    nobody = await tidings("drafts", "edit", draft)
    assert (nobody.code, "Say what changes" in nobody.err) == (2, True)
    none = await tidings("drafts", "edit", draft, typed="", VISUAL="", EDITOR="")
    assert (none.code, "name your editor" in none.err) == (2, True)
