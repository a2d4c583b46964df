"""What arrived, as the people it was sent to would see it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dispatcher.sandbox.control import SERVERS
from dispatcher.sandbox.ledger import Provider
from dispatcher.sandbox.sendgrid import fates as mail_fates
from dispatcher.sandbox.twilio import fates as text_fates
from dispatcher.sandbox.twilio.refusals import ERRORS, MAGIC_FROM, MAGIC_TO

_HERE: Final = Path(__file__).parent
_SHOWN: Final = 50
_FASTEST_REFRESH: Final = 2

_POLICY: Final = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
# A mail brings its own inline styles, and its frame inherits this policy: styles may be inline,
# everything else stays out. The frame's sandbox attribute denies scripts a second time.
_MAIL_POLICY: Final = _POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")

_ENVIRONMENT: Final = Environment(
    loader=FileSystemLoader(_HERE / "pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%a %d %b %Y, %H:%M:%S UTC")


_ENVIRONMENT.filters |= {"clock": _clock, "date": _date}


def add_routes(app: web.Application) -> None:
    """`/` and `/sandbox` lead to the inbox at `/sandbox/`."""
    app.router.add_routes(
        [
            web.get("/", _to_inbox),
            web.get("/sandbox", _to_inbox),
            web.get("/sandbox/", _inbox),
            web.get(r"/sandbox/mails/{seq:\d+}", _mail),
            web.get("/sandbox/magic", _magic),
            web.get("/sandbox/sandbox.css", _style),
        ]
    )


async def _to_inbox(_: web.Request) -> web.Response:
    raise web.HTTPFound("/sandbox/")


async def _inbox(request: web.Request) -> web.Response:
    """`?to=` narrows to one recipient, `?refresh=` reloads every so many seconds."""
    servers = request.app[SERVERS]
    ledger, to = servers.world.ledger, request.query.get("to", "").strip()
    refresh = _refresh(request)
    html = _ENVIRONMENT.get_template("inbox.html").render(
        mails=ledger.entries(Provider.SENDGRID, to=to, limit=_SHOWN),
        texts=ledger.entries(Provider.TWILIO, to=to, limit=_SHOWN),
        posts=[] if to else ledger.entries(Provider.X, limit=_SHOWN),
        accepted={provider.value: count for provider, count in ledger.accepted.items()},
        duplicates=sum(ledger.duplicates.values()),
        pending=servers.pending,
        faults=[switch.fault for switch in servers.world.faults.active()],
        shown=_SHOWN,
        to=to,
        refresh=refresh,
    )
    headers = {"Refresh": str(refresh)} if refresh else {}
    return _page(html, _POLICY, headers)


async def _mail(request: web.Request) -> web.Response:
    mail = request.app[SERVERS].world.ledger.entry(int(request.match_info["seq"]))
    if mail is None or mail.provider is not Provider.SENDGRID:
        html = _ENVIRONMENT.get_template("gone.html").render()
        return _page(html, _POLICY, {}, HTTPStatus.NOT_FOUND)
    return _page(_ENVIRONMENT.get_template("mail.html").render(mail=mail), _MAIL_POLICY, {})


async def _magic(_: web.Request) -> web.Response:
    """The magic addresses and numbers, from the tables that make them work."""
    html = _ENVIRONMENT.get_template("magic.html").render(
        mails={word: _events(fate) for word, fate in mail_fates.MAGIC.items()},
        endings={ending: _statuses(fate) for ending, fate in text_fates.MAGIC.items()},
        refused={"From": MAGIC_FROM, "To": MAGIC_TO},
        sentences={code: sentence for code, (_, sentence) in ERRORS.items()},
    )
    return _page(html, _POLICY, {})


def _events(fate: mail_fates.Fate) -> str:
    told = [
        f"{step.event} ({detail})" if detail else step.event
        for step in fate.steps
        for detail in [step.extra.get("type") or step.extra.get("reason")]
    ]
    return ", ".join(told) or "nothing"


def _statuses(fate: text_fates.Fate) -> str:
    told = [f"{turn.status} {turn.error}" if turn.error else turn.status for turn in fate]
    return ", ".join(told) or "nothing"


async def _style(_: web.Request) -> web.FileResponse:
    return web.FileResponse(_HERE / "static" / "sandbox.css")


def _refresh(request: web.Request) -> int:
    seconds = request.query.get("refresh", "")
    return max(_FASTEST_REFRESH, int(seconds)) if seconds.isdecimal() else 0


def _page(
    html: str, policy: str, headers: Mapping[str, str], status: int = HTTPStatus.OK
) -> web.Response:
    return web.Response(
        status=status,
        text=html,
        content_type="text/html",
        headers={
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
            **headers,
        },
    )
