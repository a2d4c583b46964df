"""The channels this installation has: one place that knows all adapters."""

from collections.abc import Mapping
from typing import Final

import aiohttp

from channels.model import Channel, ChannelKind
from channels.sendgrid import SendGridChannel
from channels.settings import ChannelSettings
from channels.twilio import TwilioChannel
from channels.x import XChannel

# At DEBUG (the last also at INFO) these print credentials, addresses or texts: whoever sets up
# logging holds them at WARNING.
TALKATIVE_LOGGERS: Final = ("tweepy", "oauthlib", "python_http_client", "twilio")


def build_channels(
    settings: ChannelSettings, *, session: aiohttp.ClientSession, public_url: str
) -> Mapping[ChannelKind, Channel]:
    """Every channel that has credentials; one without is absent, which means not configured.

    `public_url` is where providers reach us, e.g. https://status.example.com, no slash at its end.
    Banners are not here: nothing is sent, SQL alone makes them visible.
    """
    built: Mapping[ChannelKind, Channel | None] = {
        ChannelKind.EMAIL: (
            SendGridChannel(settings.sendgrid, session=session)
            if settings.sendgrid.configured
            else None
        ),
        ChannelKind.SMS: (
            TwilioChannel(settings.twilio, session=session, public_url=public_url)
            if settings.twilio.configured
            else None
        ),
        ChannelKind.SOCIAL: (
            XChannel(settings.x, session=session) if settings.x.configured else None
        ),
    }
    return {kind: channel for kind, channel in built.items() if channel is not None}
