"""The description says what the program does: it is made from it, valid, committed and served."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from openapi_spec_validator import validate

from dispatcher.web.openapi.document import describe, is_api, written
from dispatcher.web.openapi.examples import BODIES, PATHS
from dispatcher.web.openapi.refusals import problems_of
from dispatcher.web.routes import ROUTES
from tests.web.client import Api

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"
OPERATIONS = {route.operation: route for route in ROUTES if is_api(route)}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return describe(ROUTES)


def test_the_committed_description_is_that_of_the_program(document: dict[str, Any]) -> None:
    assert COMMITTED.read_bytes() == written(document), "make openapi writes it anew"


def test_the_description_is_valid(document: dict[str, Any]) -> None:
    validate(orjson.loads(written(document)))


def test_every_operation_has_words_a_tag_and_an_example_that_fits(document: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    found = {}
    for item in document["paths"].values():
        for operation in item.values():
            found[operation["operationId"]] = operation
            assert operation["description"].endswith((".", ";")), operation["operationId"]
            assert set(operation["tags"]) <= tags
    assert found.keys() == OPERATIONS.keys()
    with_body = {name: route.body for name, route in OPERATIONS.items() if route.body is not None}
    assert with_body.keys() == BODIES.keys()
    for name, model in with_body.items():
        for value in BODIES[name].values():
            named = OPERATIONS[name].named_by
            body = {named: PATHS[named], **value} if named else value
            assert model.model_validate(body)


def test_every_model_has_a_short_name_and_says_what_it_is(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        assert "__" not in name
        assert schema.get("description") or "enum" in schema or "const" in schema, name


def test_what_an_operation_may_be_refused_with_is_read_from_its_code() -> None:
    def kinds(operation: str) -> set[str]:
        return {kind for found in problems_of(OPERATIONS[operation]).values() for kind in found}

    assert {
        "idempotency-key-reused",
        "idempotency-key-in-use",
        "empty-audience",
        "too-large",
    } <= kinds("post_update")
    assert {"not-paused", "key-revoked", "missing-scope", "not-found"} <= kinds("resume_dispatch")
    assert {"source-exists", "invalid-request"} <= kinds("post_source")
    assert {"forged-event", "source-disabled", "malformed-event"} <= kinds("post_intake")
    assert not {"too-large", "forged-event", "idempotency-key-missing"} & kinds("get_incident")
    assert "key-missing" not in kinds("post_intake")


async def test_the_description_is_served_to_everybody_and_once(anonymous: Api) -> None:
    answer = await anonymous.get("/v1/openapi.json")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.body == written(describe(ROUTES))
    again = await anonymous.get("/v1/openapi.json", **{"If-None-Match": answer.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")
