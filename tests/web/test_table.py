"""The route table, the table of problems and the SQL are complete and true."""

import ast
import importlib
import pkgutil
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

import dispatcher
import dispatcher.web
from dispatcher.db import Connection
from dispatcher.web.problems import BY_STATUS, PROBLEMS
from dispatcher.web.routes import ROUTES
from dispatcher.web.scopes import Guard, Scope

SOURCES = sorted(
    path
    for folder in ("dispatcher", "segments")
    for path in (Path(dispatcher.__file__).parents[1] / folder).rglob("*.py")
)


def test_every_operation_and_address_is_there_once() -> None:
    operations = [route.operation for route in ROUTES]
    addresses = [(route.method, re.sub(r"\{\w+\}", "{}", route.path)) for route in ROUTES]
    assert len(set(operations)) == len(operations)
    assert len(set(addresses)) == len(addresses)


def test_everything_below_v1_is_guarded_but_for_preflights_and_the_description() -> None:
    for route in ROUTES:
        if route.path.startswith("/v1/") and route.method != "OPTIONS":
            assert route.guard is not Guard.OPEN or route.operation == "get_openapi"
        if isinstance(route.guard, Scope):
            assert route.path.startswith("/v1/")


def test_every_json_answer_and_every_body_can_be_described() -> None:
    for route in ROUTES:
        models: list[type[BaseModel]] = [*route.replies.values(), route.query]
        for model in [*models, *([route.body] if route.body else [])]:
            assert model.model_json_schema(mode="serialization"), route.operation


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_refusal_in_the_sources_is_explained(path: Path) -> None:
    """`RefusedError(422, "kind", …)`, `conflict("kind", …)`, `WebRefusedError("kind", …)`."""
    place = {"RefusedError": 1, "conflict": 0, "WebRefusedError": 0}
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id not in place or len(node.args) <= place[node.func.id]:
                continue
            kind = node.args[place[node.func.id]]
            if isinstance(kind, ast.Constant):
                assert kind.value in PROBLEMS
                status = node.args[0]
                if node.func.id == "RefusedError" and isinstance(status, ast.Constant):
                    assert PROBLEMS[str(kind.value)].status == status.value


def test_problems_are_whole_sentences_and_their_statuses_are_errors() -> None:
    assert set(BY_STATUS.values()) <= set(PROBLEMS)
    for kind, row in PROBLEMS.items():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind)
        assert 400 <= row.status < 600
        assert row.meaning.endswith(".")
        assert row.remedy.endswith(".")


async def test_every_statement_is_one_postgres_understands(conn: Connection) -> None:
    found = 0
    for info in pkgutil.walk_packages(dispatcher.web.__path__, "dispatcher.web."):
        for name, value in vars(importlib.import_module(info.name)).items():
            if name.endswith("_SQL") and isinstance(value, str):
                await conn.prepare(value)
                found += 1
    assert found > 30
