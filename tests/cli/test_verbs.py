import subprocess
import sys

import pytest

from dispatcher.cli.verbs import RENAMED, VERBS, real_command
from tests.cli.conftest import Tidings

# The last line that it prints names what was imported of what it is given before the verb.
_NAME_DEAR_IMPORTS = """
import sys
from dispatcher.cli import main
del sys.argv[0]
try:
    main()
except SystemExit:
    print(*(set(sys.argv[0].split()) & set(sys.modules)))
"""


@pytest.mark.parametrize("name", VERBS)
def test_the_list_of_verbs_says_what_a_verb_says_of_itself(name: str) -> None:
    assert VERBS[name].help == real_command(name).help.split("\n\n")[0]


async def test_what_verbs_were_called_in_0_1_still_works_and_is_told(tidings: Tidings) -> None:
    assert not set(RENAMED) & set(VERBS)
    for old, new in RENAMED.items():
        more = ("list",) if old == "dispatch" else ("nobody",)
        before, now = await tidings(old, *more), await tidings(*new, *more)
        note = f"`tidings {old}` is called `tidings {' '.join(new)}` now.\n"
        assert (before.code, before.out, before.err) == (now.code, now.out, note + now.err)


@pytest.mark.parametrize(
    ("words", "dear"),
    [
        ("--help", "aiohttp asyncpg dispatcher.app pydantic"),
        (
            "import accounts --help",
            "dispatcher.app dispatcher.web.routes pgqueuer templates.render",
        ),
        ("incidents list --help", "dispatcher.app dispatcher.web.routes dispatcher.pipeline"),
    ],
)
def test_help_imports_nothing_that_only_a_running_verb_needs(words: str, dear: str) -> None:
    argv = [sys.executable, "-c", _NAME_DEAR_IMPORTS, dear, *words.split()]
    said = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout

    assert "--help" in said
    assert said.splitlines()[-1] == ""
