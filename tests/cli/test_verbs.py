import subprocess
import sys

import pytest

from dispatcher.cli.verbs import VERBS, real_command

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
