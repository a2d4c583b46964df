"""The glossary lists every status there is, and no other."""

import re
from pathlib import Path

from dispatcher.rules.states import Shown

GLOSSARY = (Path(__file__).parents[2] / "docs" / "glossary.md").read_text("utf-8")


def test_the_glossary_explains_every_status_and_no_other() -> None:
    table = GLOSSARY.split("## Shown status")[1]
    listed = re.findall(r"^\| ([a-z]+) \|", table, re.MULTILINE)
    assert sorted(set(listed) - {"status"}) == sorted(status.word for status in Shown)
