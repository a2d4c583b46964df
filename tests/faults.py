"""Which tests show what about which fault of the catalogue, read from the markers without running anything."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What `make test` shows in a short form, each with real processes.
SHORT_FORM = frozenset({*range(1, 16), 17, *range(19, 32), 33, *range(36, 46), 47, 51})


@lru_cache
def by_fault() -> dict[int, frozenset[str]]:
    """By number, the tests that carry it: `tests/chaos/test_x.py::test_y`."""
    found: dict[int, set[str]] = defaultdict(set)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        of_file = {number for node in tree.body for number in _of_module(node)}
        for node in tree.body:
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and node.name[:5] == "test_"
            ):
                own = {number for mark in node.decorator_list for number in _numbers(mark)}
                for number in own | of_file:
                    found[number].add(f"{path.relative_to(ROOT)}::{node.name}")
    return {number: frozenset(tests) for number, tests in found.items()}


def _of_module(node: ast.stmt) -> Iterator[int]:
    """Numbers in `pytestmark = …`."""
    if isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == "pytestmark" for target in node.targets
    ):
        yield from _numbers(node.value)


def _numbers(expression: ast.expr) -> Iterator[int]:
    for call in ast.walk(expression):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.fault":
            yield from (ast.literal_eval(argument) for argument in call.args)
