"""The kinds of refusals are a promise: each is used, explained where its `type` leads, and stays as it is."""

import ast
from http.client import CONFLICT
from pathlib import Path

import dispatcher
from dispatcher.web.problems import BY_STATUS, PROBLEMS
from tests.web.client import Api

PROMISED = {
    400: "malformed-json malformed-request malformed-receipt malformed-event idempotency-key-missing"
    " invalid-query",
    401: "key-missing key-malformed key-unknown key-revoked key-expired banner-token-invalid"
    " metrics-token-invalid person-disabled session-over wrong-credentials oidc-code-refused"
    " oidc-token-refused",
    403: "missing-scope own-accounts-only origin-not-allowed forged-receipt forged-event"
    " source-disabled link-over signed-in-only key-of-another oidc-state-over oidc-email-unproven"
    " oidc-not-invited",
    404: "not-found oidc-off",
    405: "method-not-allowed",
    408: "timeout",
    409: "idempotency-key-in-use source-exists webhook-disabled event-not-kept not-a-draft overtaken"
    " dispatch-over not-paused export-not-ready user-exists user-disabled last-admin key-over",
    412: "changed-meanwhile",
    413: "too-large",
    415: "wrong-content-type content-encoding",
    422: "invalid-request empty-audience incomplete-draft cannot-be-worded idempotency-key-reused",
    428: "if-match-missing",
    429: "too-many-requests too-many-streams too-many-attempts",
    500: "internal-error",
    503: "source-unreadable wall-missing webhook-unreadable unavailable oidc-unavailable",
}
"""What programs out there may tell apart. New ones may come; none of these goes, or changes its status."""
TABLES = {"problems.py"}


def test_no_kind_that_was_promised_has_gone_or_changed_its_status() -> None:
    for status, kinds in PROMISED.items():
        for kind in kinds.split():
            assert (kind, PROBLEMS[kind].status) == (kind, status)


def test_every_kind_is_one_the_program_answers_with() -> None:
    sources = [
        ast.parse(path.read_text("utf-8"))
        for path in Path(dispatcher.__file__).parent.rglob("*.py")
        if path.name not in TABLES
    ]
    nodes = [node for source in sources for node in ast.walk(source)]
    said = {node.value for node in nodes if isinstance(node, ast.Constant)}
    assert set(PROBLEMS) - said == set(BY_STATUS.values()) - said
    conflicts = {
        node.args[0].value
        for node in nodes
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "conflict"
        and isinstance(node.args[0], ast.Constant)
    }
    assert {PROBLEMS[str(kind)].status for kind in conflicts} == {CONFLICT}


async def test_a_type_leads_to_the_page_that_explains_it(anonymous: Api) -> None:
    refused = await anonymous.get("/v1/incidents")
    page = await anonymous.get(refused.json["type"].removeprefix(anonymous.base))
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert refused.json["title"] in page.body.decode()
    index = (await anonymous.get("/problems")).body.decode()
    assert all(f'"/problems/{kind}"' in index for kind in PROBLEMS)
