"""Checks real traffic against a provider's official OpenAPI document, in this process."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters
from werkzeug.datastructures import Headers, ImmutableMultiDict

SPECS: Final = {
    "sendgrid": "tsg_mail_v3.json",
    "twilio": "twilio_api_v2010.json",
    "x": "x_openapi.json",
}


def contract_dir() -> Path | None:
    """Where the official documents are, None where there are none."""
    named = os.environ.get("TIDINGS_CONTRACT_SPECS")
    if named:
        return Path(named)
    beside = Path(__file__).resolve().parents[3].glob("*/contract/vectors.json")
    return next((vectors.parent for vectors in sorted(beside)), None)


class Request:
    """A request as openapi-core wants it."""

    def __init__(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> None:
        parts = urlsplit(url)
        self.method = method.lower()
        self.host_url = f"{parts.scheme}://{parts.netloc}"
        self.path = parts.path
        self.body = body
        self.content_type = headers.get("Content-Type", "")
        self.parameters = RequestParameters(
            query=ImmutableMultiDict(parse_qsl(parts.query, keep_blank_values=True)),
            header=Headers(dict(headers)),
            cookie=ImmutableMultiDict({}),
            path={},
        )


@dataclass(frozen=True)
class Response:
    """A response as openapi-core wants it."""

    status_code: int
    content_type: str
    headers: Mapping[str, str]
    data: bytes


class Checker:
    """The official document of one provider: `sendgrid`, `twilio` or `x`."""

    def __init__(self, folder: Path, provider: str) -> None:
        document: dict[str, Any] = json.loads((folder / "specs" / SPECS[provider]).read_text())
        # The traffic went to loopback: any host will do.
        document["servers"] = [{"url": "/"}]
        schemes = document["components"]["securitySchemes"]
        for item in document["paths"].values():
            item.pop("servers", None)
            for operation in item.values():
                if isinstance(operation, dict) and "security" in operation:
                    operation["security"] = _checkable(operation["security"], schemes)
        self._api = OpenAPI.from_dict(document)

    def request_problems(self, request: Request) -> list[str]:
        """What the document does not allow in a request; empty when it is fine."""
        return _sentences(self._api.iter_request_errors(request))

    def response_problems(self, request: Request, response: Response) -> list[str]:
        """What the document does not allow in the answer to `request`; empty when it is fine."""
        return _sentences(self._api.iter_response_errors(request, response))


def _checkable(
    alternatives: list[dict[str, Any]], schemes: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Without OAuth 2, which we never use and openapi-core cannot check."""
    return [
        one
        for one in alternatives
        if not any(schemes[name]["type"] in {"oauth2", "openIdConnect"} for name in one)
    ]


def _sentences(errors: Iterable[Exception]) -> list[str]:
    sentences = []
    for error in errors:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        details = [str(getattr(one, "message", one)) for one in getattr(cause, "schema_errors", [])]
        sentences.append(f"{type(error).__name__}: {'; '.join(details) or cause}")
    return sentences
