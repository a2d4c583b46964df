"""The list of guards fits the program: `make mutants` would find each of them, and each of its tests."""

import ast
import re
from collections import Counter

import pytest

from tests.mutants.guards import ROOT, Guard, read_guards

GUARDS = read_guards()


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_a_guard_stands_where_the_list_says_and_its_tests_exist(guard: Guard) -> None:
    assert (ROOT / guard.file).read_text("utf-8").count(guard.text) == 1
    assert guard.text != guard.instead
    for test in guard.tests:
        file, _, name = test.partition("::")
        assert name in _tests_of(file), test


def test_no_guard_is_listed_twice() -> None:
    names = Counter(guard.name for guard in GUARDS)
    assert [name for name, times in names.items() if times > 1] == []


def test_every_fault_that_is_answered_for_has_a_guard() -> None:
    table = (ROOT / "docs/promises.md").read_text("utf-8").split("## Faults, one by one")[1]
    listed = {int(number) for number in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    assert listed - {fault for guard in GUARDS for fault in guard.faults} == set()


def _tests_of(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}
