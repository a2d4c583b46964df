"""Channels: how they stand, and the decision of a person that one stops."""

from typing import Any, Final

from dispatcher.web import channels
from dispatcher.web.channel_models import ChannelPage, ChannelPauseIn, ChannelView
from dispatcher.web.lists import PageQuery
from dispatcher.web.reading import NoQuery
from dispatcher.web.routing import Route
from dispatcher.web.rows import act, get
from dispatcher.web.scopes import Scope

CHANNEL_ROUTES: Final[tuple[Route[Any, Any], ...]] = (
    get(
        "/v1/channels",
        "list_channels",
        Scope.DELIVERIES_READ,
        channels.list_channels,
        PageQuery,
        ChannelPage,
    ),
    Route(
        method="POST",
        path="/v1/channels/{channel}/pause",
        operation="pause_channel",
        guard=Scope.APPROVALS_WRITE,
        handler=channels.pause,
        query=NoQuery,
        body=ChannelPauseIn,
        replies={200: ChannelView},
    ),
    act(
        "/v1/channels/{channel}/resume",
        "resume_channel",
        Scope.APPROVALS_WRITE,
        channels.resume,
        {200: ChannelView},
    ),
)
