"""docs/api-conventions.md, block by block: what it says to type is typed, and answered as it says."""

import asyncio
import os
import re
import shutil
from pathlib import Path

import pytest

from dispatcher.context import Context
from dispatcher.web.scopes import Scope
from tests.web.client import Api, key_with

PAGE = Path(__file__).parents[2] / "docs" / "api-conventions.md"
EXAMPLE = re.compile(r"^```sh\n(.*?)^```\n\n```http\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ANYTHING = "…"


def pattern(shown: str) -> re.Pattern[str]:
    """The lines in this order, with others between them; an ellipsis stands for anything of a line."""
    lines = [
        ".*?".join(re.escape(part) for part in line.split(ANYTHING))
        for line in shown.splitlines()
        if line
    ]
    return re.compile("(?s:.*?)".join(lines))


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_every_example_is_answered_as_the_page_says(
    anonymous: Api, ctx: Context, tmp_path: Path
) -> None:
    text = PAGE.read_text("utf-8")
    examples = EXAMPLE.findall(text)
    assert len(examples) == text.count("```sh") == text.count("```http") > 5
    bare = {
        "PATH": os.defpath,
        "TIDINGS_PUBLIC_URL": anonymous.base,
        "TIDINGS_KEY": await key_with(ctx, Scope.ADMIN),
    }
    for typed, shown in examples:
        process = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-euc", typed),
            cwd=tmp_path,
            env=bare,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, complaint = await process.communicate()
        assert process.returncode == 0, complaint
        answered = out.decode().replace("\r\n", "\n")
        assert pattern(shown).search(answered), f"{typed}\n{shown}\n---\n{answered}"
