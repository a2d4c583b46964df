"""What the description says in prose, beyond what stands in docstrings."""

from collections.abc import Mapping
from typing import Final

from dispatcher.web.scopes import Guard

ABOUT: Final = """\
One update about an incident goes in; every affected customer is told, on every channel that reaches them.

- **Keys**: `Authorization: Bearer tidings_live_…`, made with `tidings keys create`. Each operation names
  the scope it needs; `admin` has all.
- **Retries**: `POST /v1/updates` takes an `Idempotency-Key`: the same key again gets the same answer.
- **Problems** are `application/problem+json` (RFC 9457); their `type` leads to a page that says what to do.
- **Lists** take `limit` and `cursor`; `Link: rel="next"` leads to the next page.
- **Changes** to what several people change say which version they have seen: `If-Match` with the `ETag`.
- **Limits**: `RateLimit` tells how many calls are left, 429 when to try again.

`HEAD` works wherever `GET` does, but for streams. Unknown fields and parameters are refused. Bodies have
at most 1 MiB; ids are opaque.
"""

TAGS: Final[Mapping[str, tuple[str, str]]] = {
    "updates": ("Updates", "What is said about an incident. Posting one is all an upstream needs."),
    "incidents": ("Incidents", "What happens, as it stands, with everything said about it."),
    "dispatches": ("Dispatches", "One update on its way to everybody it concerns, and its report."),
    "exports": ("Dispatches", ""),
    "accounts": ("Customers", "Accounts, their people, and what they use."),
    "contacts": ("Customers", ""),
    "components": ("Customers", ""),
    "segments": ("Customers", ""),
    "suppressions": ("Suppressions", "Addresses that must not be used."),
    "channels": ("Channels and templates", "How messages leave, and what they are made from."),
    "templates": ("Channels and templates", ""),
    "sources": ("Sources", "What may tell us of incidents: monitoring, paging, status pages."),
    "intake": ("Sources", ""),
    "banner": ("Banner", "The message inside customers' applications, by a token of your backend."),
    "receipts": ("Receipts", "What providers tell about messages. You need not call it."),
    "users": ("People and keys", "Who may do what, and who did it."),
    "keys": ("People and keys", ""),
    "sessions": ("People and keys", ""),
    "invitations": ("People and keys", ""),
    "me": ("People and keys", ""),
    "audit": ("People and keys", ""),
    "drafts": ("Drafts", "Updates that wait for a person's word."),
    "webhooks": ("Webhooks", "Where we tell your systems of what happens here."),
    "api": ("Public status", "Without a key, in the shape that status dashboards know."),
}
"""By the first part of the path after /v1: the tag and what it is about."""

OPERATION: Final = ("Operation", "Health, metrics, and this description.")

SCHEMES: Final[Mapping[str, Mapping[str, str]]] = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "tidings_live_<id>_<secret>",
        "description": "An API key or a session. The scope it needs is named at each operation.",
    },
    "banner_token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token for one user of your application, signed by your backend: an hour at most.",
    },
    "metrics_token": {
        "type": "http",
        "scheme": "bearer",
        "description": "TIDINGS_METRICS__TOKEN, where it is set.",
    },
}

WITHOUT_KEY: Final[Mapping[Guard, str]] = {
    Guard.IN_THE_BODY: "Needs no key: what is posted proves who asks.",
    Guard.PROVIDER_SIGNATURE: "Needs no key: the provider's signature proves who tells it.",
    Guard.SENDER_PROOF: (
        "Needs no key: the sender proves itself as its kind does, by a signature over the body, or by the"
        " source's secret in a header or in the path."
    ),
}
