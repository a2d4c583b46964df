"""Links that open one report for a while: the link itself is the right, so nothing is stored.

A link holds what it grants, signed. It ends by itself, and with the key that made it; one made in a
session when the person is signed out everywhere, not when the session is merely over.
"""

import base64
import binascii
import hmac
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote

from dispatcher.audit import note
from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.ids import Signer
from dispatcher.rules.problem import invalid, not_found
from dispatcher.web.ids import DISPATCH
from dispatcher.web.keys import Caller

DEFAULT_HOURS: Final = 72
MAX_HOURS: Final = 720
TOKEN_LIMIT: Final = 200

_CLAIMS: Final = struct.Struct(">qqBI6s")
_MAC_BYTES: Final = 16
_PURPOSE: Final = "report link"
_NO_KEY: Final = bytes(6)

DISPATCH_SQL: Final = "select 1 from dispatch where id = $1"
ACCOUNT_SQL: Final = "select id from account where external_id = $1"


class BadLinkError(ValueError):
    """The link was not made by us, was changed on the way, or is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a link opens: one dispatch, or one account (its number) in it; whole seconds count.

    `key_id` is the API key that made it, 12 hex digits; empty for the command line.
    """

    dispatch: int
    account: int | None
    read_pii: bool
    until: datetime
    key_id: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """Where to go, and until when."""

    url: str
    expires_at: datetime


def make_token(signer: Signer, grant: Grant) -> str:
    """The grant as URL-safe text, about 60 characters."""
    claims = _CLAIMS.pack(
        grant.dispatch,
        grant.account or 0,
        grant.read_pii,
        int(grant.until.timestamp()),
        bytes.fromhex(grant.key_id) or _NO_KEY,
    )
    return base64.urlsafe_b64encode(claims + _mac(signer, claims)).decode().rstrip("=")


def read_token(signer: Signer, text: str, *, now: datetime) -> Grant:
    """The grant inside. Raises BadLinkError."""
    if len(text) > TOKEN_LIMIT:
        raise BadLinkError
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise BadLinkError from None
    claims, mac = raw[: _CLAIMS.size], raw[_CLAIMS.size :]
    if not hmac.compare_digest(mac, _mac(signer, claims)):
        raise BadLinkError
    dispatch, account, read_pii, until, key = _CLAIMS.unpack(claims)
    grant = Grant(
        dispatch=dispatch,
        account=account or None,
        read_pii=bool(read_pii),
        until=datetime.fromtimestamp(until, UTC),
        key_id="" if key == _NO_KEY else key.hex(),
    )
    if grant.until <= now:
        raise BadLinkError
    return grant


def _mac(signer: Signer, claims: bytes) -> bytes:
    # Longer than that of an id: whoever holds a link holds the right, without any other proof.
    return hmac.digest(signer.derived_key(_PURPOSE), claims, "sha256")[:_MAC_BYTES]


async def make_link(
    conn: Connection,
    ctx: Context,
    dispatch: int,
    *,
    account: str | None = None,
    hours: int = DEFAULT_HOURS,
    read_pii: bool = False,
    maker: Caller | None = None,
) -> Link:
    """A link to one report, or to one account (external id) in it, noted in the audit log.

    Raises RefusedError: 404 for a dispatch or account that does not exist, 422 for hours outside 1..720.
    """
    if not 1 <= hours <= MAX_HOURS:
        raise invalid("expires_in_hours", "out_of_range", f"must be between 1 and {MAX_HOURS}")
    if await conn.fetchval(DISPATCH_SQL, dispatch) is None:
        raise not_found("dispatch")
    number = await conn.fetchval(ACCOUNT_SQL, account) if account is not None else None
    if account is not None and number is None:
        raise not_found("account")
    now = ctx.now()
    grant = Grant(
        dispatch=dispatch,
        account=number,
        read_pii=read_pii,
        until=(now + timedelta(hours=hours)).replace(microsecond=0),
        key_id=maker.key_id if maker else "",
    )
    await note(
        conn,
        at=now,
        actor=maker.actor if maker else "cli",
        action="report.link",
        thing=ctx.signer.public_id(DISPATCH, dispatch),
        detail={"account": account, "hours": hours, "addresses": read_pii},
    )
    return Link(f"{ctx.settings.public_url}/r/{make_token(ctx.signer, grant)}", grant.until)


def report_path(signer: Signer, dispatch: int, account: str | None = None) -> str:
    """Where the report of a dispatch is, or of one account (external id) in it."""
    path = f"/reports/{signer.public_id(DISPATCH, dispatch)}"
    return path if account is None else f"{path}/accounts/{quote(account, safe='')}"
