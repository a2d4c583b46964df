"""What bad input gets, row by row: a clear problem that names the field, and nothing half done."""

from typing import Any

import asyncpg
import pytest

from dispatcher.context import Context
from dispatcher.web.problems import PROBLEMS
from dispatcher.web.scopes import Scope
from tests.flow.story import contact, seed
from tests.web.client import Answer, Api, key_with
from tests.web.test_updates import body_of


@pytest.fixture
async def audience(ctx: Context) -> None:
    await seed(ctx, [contact(1, "small")])


def pointers(answer: Answer) -> list[tuple[str, str]]:
    return [(item["pointer"], item["code"]) for item in answer.json["errors"]]


async def nothing_stored(ctx: Context) -> bool:
    return not await ctx.pool.fetchval(
        "select exists (select from incident) or exists (select from idempotency)"
        " or exists (select from dispatch) or exists (select from pgqueuer)"
    )


LINK = {"label": "x", "url": "http://example.com"}

WRONG_FIELDS: list[tuple[dict[str, Any], str, str]] = [
    ({"incident": {"component_ids": ["nope"]}}, "/incident/component_ids/0", "unknown_component"),
    ({"incident": {"severity": None}}, "/incident/severity", "missing"),
    ({"audience": {"account_ids": ["nope"]}}, "/audience/account_ids/0", "unknown_account"),
    ({"audience": {"segments": ["vip"]}}, "/audience/segments/0", "unknown_segment"),
    ({"facts": {"next_update_by": "2020-01-01T00:00:00Z"}}, "/facts/next_update_by", "in_the_past"),
    ({"facts": {"next_update_by": "2030-01-01T00:00"}}, "/facts/next_update_by", "timezone_aware"),
    ({"facts": {"links": [LINK]}}, "/facts/links/0/url", "value_error"),
    ({"facts": {"title": "a\u202eb"}}, "/facts/title", "value_error"),
    ({"facts": {"moood": "x"}}, "/facts/moood", "extra_forbidden"),
    ({"note": 7}, "/note", "string_type"),
    ({"note": "a\x00b"}, "/note", "nul_character"),
    ({"status": "broken"}, "/status", "literal_error"),
    ({"importance": "high"}, "/importance", "extra_forbidden"),
    ({"a/b~c": 1}, "/a~1b~0c", "extra_forbidden"),
]


@pytest.mark.usefixtures("audience")
@pytest.mark.parametrize(("more", "pointer", "code"), WRONG_FIELDS, ids=str)
async def test_a_wrong_field_is_named_and_nothing_is_stored(
    api: Api, ctx: Context, more: dict[str, Any], pointer: str, code: str
) -> None:
    answer = await api.update(body_of(ctx, **more))
    assert (answer.status, answer.kind) == (422, "invalid-request")
    assert (pointer, code) in pointers(answer)
    assert await nothing_stored(ctx)


@pytest.mark.usefixtures("audience")
async def test_every_wrong_field_is_named_at_once(api: Api, ctx: Context) -> None:
    answer = await api.update(body_of(ctx, status=1, note=[], extra={}))
    assert {pointer for pointer, _ in pointers(answer)} == {"/status", "/note", "/extra"}


@pytest.mark.usefixtures("audience")
async def test_an_empty_audience_is_refused(api: Api, ctx: Context) -> None:
    async with ctx.pool.acquire() as conn:
        await conn.execute(
            "insert into component (external_id, name, public_name, created_at, updated_at)"
            " values ('lonely', 'lonely', 'Lonely', now(), now())"
        )
    answer = await api.update(body_of(ctx, incident={"component_ids": ["lonely"]}))
    assert (answer.status, answer.kind) == (422, "empty-audience")
    assert await nothing_stored(ctx)


@pytest.mark.usefixtures("audience")
async def test_values_are_never_repeated_in_a_refusal(api: Api, ctx: Context) -> None:
    answer = await api.update(
        body_of(ctx, status="anna.secret@example.com", note={"anna.secret@example.com": 1})
    )
    assert answer.status == 422
    assert b"anna.secret" not in answer.body


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"", "malformed-json"),
        (b"{", "malformed-json"),
        (b"{} {}", "malformed-json"),
        (b"\xff\xfe", "malformed-json"),
        (b'{"note": NaN}', "malformed-json"),
        (b"[" * 100_000, "malformed-json"),
        (b"[" * 500 + b"]" * 500, "malformed-json"),
        (b'{"note": "\\ud800"}', "malformed-json"),
    ],
    ids=["empty", "cut", "two", "not UTF-8", "NaN", "deep and cut", "deep", "half a character"],
)
async def test_what_is_not_json_is_refused(api: Api, raw: bytes, kind: str) -> None:
    headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}
    answer = await api.call("POST", "/v1/updates", raw=raw, headers=headers)
    assert (answer.status, answer.kind) == (400, kind)


@pytest.mark.parametrize("body", [[], 7, "text", None, True])
async def test_json_that_is_no_object_is_refused(api: Api, body: object) -> None:
    raw = {None: b"null", True: b"true"}.get(body) if body is None or body is True else None
    headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}
    answer = await api.call("POST", "/v1/updates", None if raw else body, raw=raw, headers=headers)
    assert (answer.status, answer.kind) == (422, "invalid-request")


async def test_two_mebibytes_are_too_large_whether_announced_or_not(api: Api) -> None:
    raw = b'{"note": "' + b"x" * (2 * 1024 * 1024) + b'"}'
    headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}
    announced = await api.call("POST", "/v1/updates", raw=raw, headers=headers)
    assert (announced.status, announced.kind) == (413, "too-large")

    async def pieces() -> Any:
        for start in range(0, len(raw), 65536):
            yield raw[start : start + 65536]

    async with api.session.post(
        f"{api.base}/v1/updates", data=pieces(), headers={**api.headers, **headers}
    ) as chunked:
        assert chunked.status == 413


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"],
)
async def test_other_content_types_are_refused(api: Api, content_type: str) -> None:
    headers = {"Content-Type": content_type, "Idempotency-Key": "k"}
    answer = await api.call("POST", "/v1/updates", raw=b"{}", headers=headers)
    assert (answer.status, answer.kind) == (415, "wrong-content-type")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "nonsense"])
async def test_compressed_bodies_are_refused(api: Api, encoding: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    answer = await api.call("POST", "/v1/suppressions", raw=b"\x1f\x8b", headers=headers)
    assert (answer.status, answer.kind) == (415, "content-encoding")


async def test_an_unknown_path_is_a_problem(api: Api) -> None:
    answer = await api.get("/v1/nothing")
    assert (answer.status, answer.kind) == (404, "not-found")


async def test_a_wrong_method_is_a_problem_that_names_the_right_ones(api: Api) -> None:
    answer = await api.call("DELETE", "/v1/updates")
    assert (answer.status, answer.kind) == (405, "method-not-allowed")
    assert answer.headers["Allow"] == "OPTIONS, POST"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/updates/upd_x",
        "/v1/updates/%00",
        "/v1/updates/\u00e4",
        "/v1/updates/inc_aaaaaaaaaaaaaaaaaaaaaaaaaa",
        "/v1/incidents/1",
        "/v1/dispatches/dsp_",
        "/v1/accounts/%00",
        "/v1/contacts/nobody",
    ],
)
async def test_ids_that_are_none_of_ours_are_not_found(api: Api, path: str) -> None:
    answer = await api.get(path)
    assert (answer.status, answer.kind) == (404, "not-found")


async def test_ids_of_another_kind_or_number_are_not_found(api: Api, ctx: Context) -> None:
    for kind, folder in (("inc", "incidents"), ("upd", "updates"), ("dsp", "dispatches")):
        right = ctx.signer.public_id(kind, 12345)
        assert (await api.get(f"/v1/{folder}/{right}")).status == 404
        wrong = ctx.signer.public_id("uns", 12345).replace("uns", kind)
        assert (await api.get(f"/v1/{folder}/{wrong}")).status == 404


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "?limit"),
        ("limit=201", "?limit"),
        ("limit=x", "?limit"),
        ("cursor=x", "?cursor"),
        ("cursor=W10=", "?cursor"),
        ("cursor=WzFdCg==&cursor=WzFdCg==", "?cursor"),
        ("page=2", "?page"),
        ("state=closed", "?state"),
    ],
)
async def test_a_wrong_query_is_refused_by_name(api: Api, query: str, pointer: str) -> None:
    answer = await api.get(f"/v1/incidents?{query}")
    assert (answer.status, answer.kind) == (400, "invalid-query")
    assert [item for item, _ in pointers(answer)] == [pointer]


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        (None, "key-missing"),
        ("Bearer", "key-malformed"),
        ("Basic dGlkaW5nczp4", "key-malformed"),
        ("Bearer tidings_live_x_y", "key-malformed"),
        (f"Bearer tidings_live_{'0' * 12}_{'0' * 64}", "key-unknown"),
    ],
)
async def test_a_bad_key_is_told_apart(anonymous: Api, header: str | None, kind: str) -> None:
    headers = {"Authorization": header} if header else {}
    answer = await anonymous.call("GET", "/v1/incidents", headers=headers)
    assert (answer.status, answer.kind) == (401, kind)
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="tidings"')


async def test_a_scope_that_is_missing_is_named(anonymous: Api, ctx: Context) -> None:
    reader = anonymous.bearing(await key_with(ctx, Scope.INCIDENTS_READ))
    answer = await reader.update(body_of(ctx))
    assert (answer.status, answer.kind) == (403, "missing-scope")
    assert "updates:write" in answer.json["detail"]


async def test_every_problem_leads_to_a_page_that_explains_it(anonymous: Api) -> None:
    for kind in PROBLEMS:
        page = await anonymous.get(f"/problems/{kind}")
        assert page.status == 200
        assert PROBLEMS[kind].title.replace("'", "&#39;").encode() in page.body
    assert (await anonymous.get("/problems/none")).status == 404
    assert (await anonymous.get("/problems")).status == 200


async def test_the_type_of_a_problem_is_the_address_of_its_page(anonymous: Api) -> None:
    answer = await anonymous.get("/v1/nothing")
    page = await anonymous.call("GET", answer.json["type"].removeprefix(anonymous.base))
    assert page.status == 200


async def test_the_callers_request_id_comes_back_when_it_is_harmless(anonymous: Api) -> None:
    mine = await anonymous.get("/v1/nothing", **{"X-Request-Id": "trace-1.a_B"})
    assert mine.headers["X-Request-Id"] == mine.json["request_id"] == "trace-1.a_B"
    odd = await anonymous.get("/v1/nothing", **{"X-Request-Id": "<script>"})
    assert odd.json["request_id"].startswith("req_")
    assert odd.headers["X-Request-Id"] == odd.json["request_id"]


@pytest.mark.parametrize("path", ["/v1/nothing", "/healthz", "/problems", "/v1/banner", "/u/x"])
async def test_security_headers_are_everywhere(anonymous: Api, path: str) -> None:
    headers = (await anonymous.get(path)).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"
    assert "Server" not in headers


async def test_a_lost_database_is_503_and_the_request_can_be_repeated(
    api: Api, ctx: Context, cluster: str
) -> None:
    await seed(ctx, [contact(1, "small")])
    name = await ctx.pool.fetchval("select current_database()")
    admin = await asyncpg.connect(cluster, database="postgres")
    try:
        await admin.execute(f"alter database {name} allow_connections false")
        await admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", name
        )
        answer = await api.update(body_of(ctx))
        assert (answer.status, answer.kind) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        ready = await api.get("/readyz")
        assert ready.status == 503
        assert "cannot be reached" in ready.json["checks"]["database"]
        assert (await api.get("/healthz")).status == 200
        await admin.execute(f"alter database {name} allow_connections true")
    finally:
        await admin.close()
    assert (await api.update(body_of(ctx))).status == 202


async def test_ready_only_with_a_worker_that_was_seen_lately(api: Api, ctx: Context) -> None:
    alone = await api.get("/readyz")
    assert alone.status == 503
    assert alone.json["checks"]["database"] == alone.json["checks"]["migrations"] == "ok"
    assert "tidings worker" in alone.json["checks"]["workers"]
    for seconds, status in ((31, 503), (20, 200)):
        await ctx.pool.execute(
            "insert into worker (id, host, pid, started_at, seen_at)"
            " select gen_random_uuid(), 'h', 1, t, t"
            " from (select clock_timestamp() - make_interval(secs => $1)) as at (t)",
            seconds,
        )
        assert (await api.get("/readyz")).status == status


async def test_a_misspelt_name_comes_with_the_one_that_was_meant(api: Api) -> None:
    body = {"sorce": "x", "status": 7, "incident": {"component_idz": []}}
    answer = (await api.update(body)).json
    found = {item["pointer"]: item["detail"] for item in answer["errors"]}
    assert found["/sorce"] == "There is no such field; did you mean source?"
    assert found["/source"] == "Is missing."
    assert found["/incident/component_idz"] == "There is no such field; did you mean component_ids?"
    asked = (await api.get("/v1/incidents?limt=3")).json
    assert asked["errors"][0]["detail"] == "There is no such parameter; did you mean limit?"
    assert asked["detail"] == "?limt: There is no such parameter; did you mean limit?"
    # A body full of long names costs comparing only some of them.
    crowd = {f"{'x' * 60}{n}": 1 for n in range(2000)}
    details = [item["detail"] for item in (await api.update(crowd)).json["errors"]]
    assert details.count("There is no such field") > 1900


async def test_detail_says_more_than_the_title_or_is_left_out(api: Api, anonymous: Api) -> None:
    refused = [
        await api.call("PATCH", "/v1/sources/src_x", {}),
        await api.get("/nothing"),
        await api.update([]),
        await api.update({}),
        await api.call("PUT", "/v1/incidents"),
        await anonymous.get("/v1/incidents"),
        await anonymous.call("POST", "/v1/receipts/twilio", {}),
    ]
    for answer in refused:
        assert answer.json.get("detail") != answer.json["title"]
    assert "detail" not in refused[1].json
    assert refused[3].json["detail"].endswith("more in `errors`)")
