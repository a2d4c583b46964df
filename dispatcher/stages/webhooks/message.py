"""One message as it goes over the wire: Standard Webhooks 1.0."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from standardwebhooks import Webhook

from dispatcher.announce import EventType, Outside, body_of
from dispatcher.context import Context

MESSAGE: Final = "msg"
"""Kind of the public id that a message carries: that of its event, at every attempt the same."""
USER_AGENT: Final = "Tidings-Webhooks/1"


@dataclass(frozen=True, slots=True)
class Message:
    """An event on its way to one endpoint; `secrets` sign it, the newest first."""

    event_id: int
    type: EventType
    data: Mapping[str, Any]
    at: datetime
    url: str
    secrets: Sequence[str] = field(repr=False)


def outside(ctx: Context) -> Outside:
    """How numbers of ours are called outside."""
    return Outside(ctx.signer, ctx.settings.public_url)


def written(ctx: Context, message: Message, *, now: datetime) -> tuple[bytes, dict[str, str]]:
    """Body and headers of one attempt."""
    body = body_of(message.type, message.data, at=message.at, outside=outside(ctx))
    message_id = ctx.signer.public_id(MESSAGE, message.event_id)
    signatures = [
        Webhook(secret).sign(message_id, now, body.decode()) for secret in message.secrets
    ]
    return body, {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "Accept-Encoding": "identity",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
