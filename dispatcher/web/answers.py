"""What a handler gives back, and how refusals look on the wire."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.client import UNAUTHORIZED

import orjson
from aiohttp import web
from pydantic import BaseModel

from dispatcher.rules.problem import FieldProblem, RefusedError
from dispatcher.web.problems import PROBLEMS

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"


class WebRefusedError(RefusedError):
    """A refusal of the HTTP layer: `kind` is a row of PROBLEMS, `detail` what is wrong this time."""

    def __init__(
        self,
        kind: str,
        detail: str = "",
        *,
        problems: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(PROBLEMS[kind].status, kind, detail or PROBLEMS[kind].title, problems)
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class Reply:
    """A JSON answer: a model, so that the route table can describe it."""

    content: BaseModel
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> web.Response:
        """The answer on the wire."""
        return web.Response(
            body=self.content.model_dump_json().encode(),
            status=self.status,
            headers=self.headers,
            content_type=JSON,
        )


def _detail(refused: RefusedError, title: str) -> str:
    """What is wrong this time; nothing where the title says it all (RFC 9457, 3.1.4)."""
    if refused.title != title:
        return refused.title
    if not refused.problems:
        return ""
    first, *others = refused.problems
    more = f" ({len(others)} more in `errors`)" if others else ""
    return f"{first.pointer or 'the body'}: {first.detail}{more}"


def problem_response(refused: RefusedError, *, public_url: str, request_id: str) -> web.Response:
    """The refusal as RFC 9457."""
    row = PROBLEMS.get(refused.kind)
    body: dict[str, object] = {
        "type": f"{public_url}/problems/{refused.kind}",
        "title": row.title if row else refused.title,
        "status": refused.status,
    }
    if detail := _detail(refused, str(body["title"])):
        body["detail"] = detail
    body["request_id"] = request_id
    if refused.problems:
        body["errors"] = [
            {"pointer": item.pointer, "code": item.code, "detail": item.detail}
            for item in refused.problems
        ]
    headers = dict(refused.headers) if isinstance(refused, WebRefusedError) else {}
    if refused.status == UNAUTHORIZED:
        # RFC 9110, 11.6.1: whoever is not let in is told how one gets in.
        headers.setdefault("WWW-Authenticate", 'Bearer realm="tidings"')
    return web.Response(
        body=orjson.dumps(body),
        status=refused.status,
        headers=headers,
        content_type=PROBLEM_JSON,
    )
