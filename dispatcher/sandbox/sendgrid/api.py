"""POST /v3/mail/send."""

from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from hmac import compare_digest
from itertools import islice
from typing import Any

import orjson

from dispatcher.sandbox.journal import Line
from dispatcher.sandbox.ledger import Provider
from dispatcher.sandbox.sendgrid.events import EventWebhook, MailReceipts
from dispatcher.sandbox.sendgrid.mail import REQUEST_ARGUMENT, AcceptedMail
from dispatcher.sandbox.sendgrid.validate import Problem, problems
from dispatcher.sandbox.world import Asked, Reply, World

MAX_BODY = 30 * 1024 * 1024
_SHOWN_PROBLEMS = 20

_SENTENCES: Mapping[int, str] = {
    401: "The provided authorization grant is invalid, expired, or revoked",
    403: "access forbidden",
    404: "not found",
    405: "method not allowed",
    413: "content too large",
    429: "too many requests",
    500: "internal server error",
}


class SendGrid:
    """Validates, accepts, and hands accepted mails to the event webhook."""

    def __init__(self, world: World, webhook: EventWebhook) -> None:
        self._world = world
        self._webhook = webhook
        key = world.settings.sendgrid_api_key.get_secret_value()
        self._authorization = f"Bearer {key}".encode()

    def refuse(self, status: int, retry_after: float | None) -> Reply:
        reply = _errors(status, [(None, _SENTENCES.get(status, "service unavailable"))])
        if retry_after is None:
            return reply
        reset = str(int(self._world.clock() + retry_after))
        headers = {"Retry-After": f"{retry_after:g}", "X-RateLimit-Reset": reset}
        return Reply(status, reply.body, headers)

    def send(self, asked: Asked) -> Reply:
        """202 with X-Message-Id, or the errors SendGrid would list."""
        given = asked.headers.get("Authorization", "").encode()
        if not compare_digest(given, self._authorization):
            return self.refuse(401, None)
        if len(asked.body) > MAX_BODY:
            return self.refuse(413, None)
        try:
            mail = orjson.loads(asked.body)
        except orjson.JSONDecodeError:
            return _errors(400, [(None, "Bad Request")])
        wrong = list(islice(problems(mail), _SHOWN_PROBLEMS))
        if wrong:
            return _errors(400, wrong)
        if _is_rehearsal(mail):
            return Reply(200)
        return self._accept(mail, asked.take)

    def _accept(self, mail: dict[str, Any], take: int | None) -> Reply:
        accepted = AcceptedMail(
            message_id=urlsafe_b64encode(bytes.fromhex(self._world.ids.hex())).decode()[:22],
            at=self._world.clock(),
            envelope=mail,
            personalizations=mail.pop("personalizations")[:take],
        )
        if accepted.personalizations:
            self._world.ledger.record(_line(accepted), accepted)
        return Reply(
            202,
            headers={"X-Message-Id": accepted.message_id},
            receipts=MailReceipts(self._webhook, accepted),
        )


def _line(accepted: AcceptedMail) -> Line:
    return {
        "provider": Provider.SENDGRID,
        "at": accepted.at,
        "rq": accepted.arguments(0).get(REQUEST_ARGUMENT, ""),
        "ref": accepted.message_id,
        "keys": accepted.keys(),
    }


def _is_rehearsal(mail: Mapping[str, Any]) -> bool:
    """SendGrid's own sandbox mode: validated, answered 200, never sent."""
    mode = (mail.get("mail_settings") or {}).get("sandbox_mode") or {}
    return bool(mode.get("enable"))


def _errors(status: int, problems_found: Sequence[Problem]) -> Reply:
    errors = [{"message": message, "field": field} for field, message in problems_found]
    return Reply(status, orjson.dumps({"errors": errors}))
