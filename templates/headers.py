"""The mail headers that differ per recipient: one thread per incident, one click to unsubscribe."""

import re

from templates.brand import Brand
from templates.plain import own_url

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,200}(?:\.[A-Za-z0-9_-]{1,200})*")


def headers_for(
    brand: Brand, *, incident: str, update: str, recipient: str, unsubscribe_url: str
) -> dict[str, str]:
    """Headers of one mail to one recipient.

    `incident`, `update` and `recipient` are opaque ids (letters, digits, `_`, `-`, inner dots): the
    same incident and recipient give one thread, and no address travels in a header. ValueError for
    an id or link that could break out of its header.
    """
    for name, token in (("incident", incident), ("update", update), ("recipient", recipient)):
        if not _TOKEN.fullmatch(token):
            raise ValueError(f"{name} is not an opaque id and cannot stand in a mail header")
    domain = brand.domain
    thread = f"<inc-{incident}.{recipient}@{domain}>"
    mailto = f"mailto:{brand.unsubscribe_email}?subject=unsubscribe%20{recipient}"
    return {
        "List-Unsubscribe": f"<{own_url(unsubscribe_url)}>, <{mailto}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "List-Id": f"<incidents.{domain}>",
        "Message-ID": f"<upd-{update}.{recipient}@{domain}>",
        "In-Reply-To": thread,
        "References": thread,
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
    }
