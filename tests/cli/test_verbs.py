import subprocess
import sys

import pytest

from dispatcher.cli.verbs import VERBS, real_command

# The last line that it prints names what was imported of what takes long to import.
_NAME_DEAR_IMPORTS = """
import sys
from dispatcher.cli import main
try:
    main()
except SystemExit:
    print(*({"aiohttp", "asyncpg", "dispatcher.app", "pydantic"} & set(sys.modules)))
"""


@pytest.mark.parametrize("name", VERBS)
def test_the_list_of_verbs_says_what_a_verb_says_of_itself(name: str) -> None:
    assert VERBS[name].help == real_command(name).help.split("\n\n")[0]


def test_help_imports_nothing_that_only_verbs_need() -> None:
    argv = [sys.executable, "-c", _NAME_DEAR_IMPORTS, "--help"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout

    assert "banner-token" in said
    assert said.splitlines()[-1] == ""
