"""docs/cli.md, the table of what the API does and which verb does it, and the examples to copy."""

import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dispatcher.cli.examples import BAD_DAY, ENDS_WITH_1, EXAMPLES
from dispatcher.cli.manual import leaves, manual
from dispatcher.cli.parity import VERB_OF, WITHOUT_VERB
from dispatcher.cli.verbs import PANELS, VERBS, real_command
from dispatcher.web.routes import ROUTES

COMMITTED = Path(__file__).parents[2] / "docs" / "cli.md"
LEAVES: dict[str, Any] = dict(leaf for name in VERBS for leaf in leaves(name, real_command(name)))
# They run until they are stopped, and log.
WITHOUT_JSON = {"serve", "worker", "up", "demo"}


def test_the_committed_reference_is_that_of_the_program() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == manual(), "make cli-docs writes it anew"


def test_every_operation_of_the_api_has_a_verb_or_a_reason_why_not() -> None:
    operations = {route.operation for route in ROUTES}
    assert not set(VERB_OF) & set(WITHOUT_VERB)
    assert operations - set(VERB_OF) - set(WITHOUT_VERB) == set(), "name them in cli/parity.py"
    assert (set(VERB_OF) | set(WITHOUT_VERB)) - operations == set(), "there is no such operation"
    assert set(VERB_OF.values()) <= set(LEAVES)


def test_every_verb_is_listed_once() -> None:
    assert Counter(name for names in PANELS.values() for name in names) == Counter(list(VERBS))


def test_every_verb_that_answers_can_answer_in_json() -> None:
    without = {
        verb
        for verb, command in LEAVES.items()
        if not any("--json" in param.opts for param in command.params)
    }
    assert without == WITHOUT_JSON


def test_codes_and_examples_are_told_of_verbs_that_are_there() -> None:
    assert set(EXAMPLES) | set(ENDS_WITH_1) <= set(LEAVES)


@pytest.mark.parametrize("line", [line for lines in BAD_DAY.values() for line in lines])
def test_what_is_done_on_a_bad_day_can_be_typed(line: str) -> None:
    words = shlex.split(line.removeprefix("tidings "))
    verb = next(found for n in (2, 1) if (found := " ".join(words[:n])) in LEAVES)
    LEAVES[verb].make_context(verb, words[len(verb.split()) :])


@pytest.mark.parametrize("verb", EXAMPLES)
def test_every_example_can_be_typed(verb: str) -> None:
    words = shlex.split(EXAMPLES[verb])
    words = words[words.index("tidings") + 1 :]
    while words[0].startswith("--"):
        words = words[2:]
    place = len(verb.split())
    assert " ".join(words[:place]) == verb
    LEAVES[verb].make_context(verb, words[place:])
