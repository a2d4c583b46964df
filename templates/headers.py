"""The mail headers that differ per recipient: one thread per incident, one click to unsubscribe."""

import re
from collections.abc import Callable

from templates.brand import Brand
from templates.plain import own_url

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,200}(?:\.[A-Za-z0-9_-]{1,200})*")


def thread_headers(
    brand: Brand, *, incident: str, update: str
) -> Callable[[str, str], dict[str, str]]:
    """What makes the headers of one mail of an update: from the recipient's id and unsubscribe link.

    `incident`, `update` and the recipient are opaque ids (letters, digits, `_`, `-`, inner dots): the
    same incident and recipient give one thread, and no address travels in a header. ValueError for
    an id or link that could break out of its header.
    """
    domain = brand.domain
    thread_of, message_of = (
        f"<inc-{_opaque('incident', incident)}.",
        f"<upd-{_opaque('update', update)}.",
    )
    mailto = f"mailto:{brand.unsubscribe_email}?subject=unsubscribe%20"
    same = {
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "List-Id": f"<incidents.{domain}>",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
    }

    def headers(recipient: str, unsubscribe_url: str) -> dict[str, str]:
        _opaque("recipient", recipient)
        thread = f"{thread_of}{recipient}@{domain}>"
        return {
            "List-Unsubscribe": f"<{own_url(unsubscribe_url)}>, <{mailto}{recipient}>",
            "Message-ID": f"{message_of}{recipient}@{domain}>",
            "In-Reply-To": thread,
            "References": thread,
            **same,
        }

    return headers


def _opaque(name: str, token: str) -> str:
    if not _TOKEN.fullmatch(token):
        raise ValueError(f"{name} is not an opaque id and cannot stand in a mail header")
    return token
