"""The channels this installation has: one place that knows all adapters."""

from collections.abc import Callable, Mapping
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

    Each provider gets a session, and so connections, of its own: one that hangs and holds all of them
    takes none of another's. Who opens them closes them. `public_url` is where providers reach us, e.g.
    https://status.example.com, no slash at its end.
    Banners are not here: nothing is sent, SQL alone makes them visible.
    """
    built: dict[ChannelKind, Channel] = {}
    if settings.sendgrid.configured:
        make = _adapter("channels.sendgrid", "SendGridChannel")
        built[ChannelKind.EMAIL] = make(settings.sendgrid, session=open_session())
    if settings.twilio.configured:
        make = _adapter("channels.twilio", "TwilioChannel")
        built[ChannelKind.SMS] = make(
            settings.twilio, session=open_session(), public_url=public_url
        )
    if settings.x.configured:
        make = _adapter("channels.x", "XChannel")
        built[ChannelKind.SOCIAL] = make(settings.x, session=open_session())
    return built


def _adapter(module: str, name: str) -> Callable[..., Channel]:
    """An adapter of ours by name, imported only where there are credentials for it.

    Its SDK costs up to half a second of CPU and 15 MB.
    """
    found: Any = getattr(import_module(module), name)
    make: Callable[..., Channel] = found
    return make
