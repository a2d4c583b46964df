"""The channels this installation has: one place that knows all adapters."""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, Final

import aiohttp

from channels.model import Channel, ChannelKind
from channels.settings import ChannelSettings

# At DEBUG (the last also at INFO) these print credentials, addresses or texts: whoever sets up
# logging holds them at WARNING.
TALKATIVE_LOGGERS: Final = ("tweepy", "oauthlib", "python_http_client", "twilio")


def build_channels(
    settings: ChannelSettings, *, open_session: Callable[[], aiohttp.ClientSession], public_url: str
) -> Mapping[ChannelKind, Channel]:
    """Every channel that has credentials; one without is absent, which means not configured.

    An adapter and its session are made by the first look at it.

    Each provider gets a session, and so connections, of its own: one that hangs and holds all of them
    takes none of another's. Who opens them closes them. `public_url` is where providers reach us, e.g.
    https://status.example.com, no slash at its end.
    Banners are not here: nothing is sent, SQL alone makes them visible.
    """
    makers: dict[ChannelKind, Callable[[], Channel]] = {}
    if settings.sendgrid.configured:
        makers[ChannelKind.EMAIL] = lambda: _adapter("channels.sendgrid", "SendGridChannel")(
            settings.sendgrid, session=open_session()
        )
    if settings.twilio.configured:
        makers[ChannelKind.SMS] = lambda: _adapter("channels.twilio", "TwilioChannel")(
            settings.twilio, session=open_session(), public_url=public_url
        )
    if settings.x.configured:
        makers[ChannelKind.SOCIAL] = lambda: _adapter("channels.x", "XChannel")(
            settings.x, session=open_session()
        )
    return _Channels(makers)


class _Channels(Mapping[ChannelKind, Channel]):
    """Each is built when it is first asked for: whether there is one can be said without."""

    def __init__(self, makers: Mapping[ChannelKind, Callable[[], Channel]]) -> None:
        self._makers = makers
        self._built: dict[ChannelKind, Channel] = {}

    def __getitem__(self, kind: ChannelKind) -> Channel:
        if kind not in self._built:
            self._built[kind] = self._makers[kind]()
        return self._built[kind]

    def __contains__(self, kind: object) -> bool:
        return kind in self._makers

    def __iter__(self) -> Iterator[ChannelKind]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def _adapter(module: str, name: str) -> Callable[..., Channel]:
    """An adapter of ours by name, imported only by who sends with it or reads its receipts.

    Its SDK costs up to half a second of CPU and 15 MB.
    """
    found: Any = getattr(import_module(module), name)
    make: Callable[..., Channel] = found
    return make
