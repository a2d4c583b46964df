"""One accepted mail/send request."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dispatcher.sandbox.ledger import Acceptance, Entry
from dispatcher.sandbox.sendgrid.substitute import substitute

KEY_ARGUMENT = "tidings"
"""The custom argument that identifies a delivery."""
REQUEST_ARGUMENT = "rq"


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedMail:
    """The parsed body, cut to the recipients that were accepted.

    `states` holds the last event per recipient index. Nothing is rendered until somebody reads it.
    """

    message_id: str
    at: float
    envelope: Mapping[str, Any]
    personalizations: list[dict[str, Any]]
    states: dict[int, str] = field(default_factory=dict)

    def address(self, index: int) -> str:
        """Of the first recipient of personalization `index`."""
        return str(self.personalizations[index]["to"][0]["email"])

    def arguments(self, index: int) -> dict[str, Any]:
        """Custom arguments as events carry them; the personalization's own win."""
        shared = self.envelope.get("custom_args")
        own = self.personalizations[index].get("custom_args") or {}
        return {**shared, **own} if isinstance(shared, dict) else own

    def keys(self) -> list[str]:
        """The sender's key of each recipient; the address where none was given."""
        shared = self.envelope.get("custom_args")
        otherwise = shared.get(KEY_ARGUMENT) if isinstance(shared, dict) else None
        return [
            (one.get("custom_args") or {}).get(KEY_ARGUMENT) or otherwise or one["to"][0]["email"]
            for one in self.personalizations
        ]

    def entry(self, acceptance: Acceptance, index: int) -> Entry:
        """The mail of one recipient, tags substituted."""
        own = self.personalizations[index]
        values = own.get("substitutions") or {}
        content = {block["type"]: block["value"] for block in self.envelope.get("content") or ()}
        sender = own.get("from") or self.envelope["from"]
        subject = own.get("subject") or self.envelope.get("subject") or ""
        return Entry(
            seq=acceptance.first + index,
            provider=acceptance.provider,
            key=acceptance.keys[index],
            request_id=acceptance.request_id,
            at=acceptance.at,
            provider_ref=self.message_id,
            sender=_person(sender),
            to=self.address(index),
            subject=substitute(subject, values),
            html=substitute(content.get("text/html", ""), values),
            text=substitute(content.get("text/plain", ""), values),
            state=self.states.get(index, "accepted"),
            extra=self._headers(own, values),
        )

    def _headers(self, own: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, str]:
        headers = {**(self.envelope.get("headers") or {}), **(own.get("headers") or {})}
        if reply_to := self.envelope.get("reply_to"):
            headers["Reply-To"] = substitute(_person(reply_to), values)
        return headers


def _person(value: Mapping[str, str]) -> str:
    name = value.get("name")
    return f"{name} <{value['email']}>" if name else value["email"]
