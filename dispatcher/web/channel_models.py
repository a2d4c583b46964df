"""What channels look like at the API."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

from dispatcher.web.lists import Page
from templates.facts import Moment


class ChannelHealth(StrEnum):
    """Whether messages leave on a channel, and what keeps them.

    `paused`: a person did it. `stopped`: its provider refuses us or does not answer. `probation`: it did,
    and a few messages ask whether it is back.
    """

    READY = "ready"
    PAUSED = "paused"
    STOPPED = "stopped"
    PROBATION = "probation"
    NOT_CONFIGURED = "not_configured"


class ChannelPauseIn(BaseModel):
    """Why nothing is to leave; without `until`, until somebody resumes the channel."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
    until: Moment | None = None


class ChannelPause(BaseModel):
    """A person's pause; `until` is null where it has no end of its own.

    An account manager gets null for `by` and `reason`: they may tell of other customers.
    """

    since: datetime
    until: datetime | None
    by: str | None
    reason: str | None


class Window(BaseModel):
    """One limit of a sender: at most `limit` units in `seconds`; `left` of them now.

    An account manager gets null for it: it tells how much is sent to all customers.
    """

    limit: int
    seconds: int
    left: int | None


class Sender(BaseModel):
    """One provider identity and what it may send now; `paused_until`: its provider wants no more before."""

    provider: str
    identity: str
    windows: list[Window]
    paused_until: datetime | None
    paused_why: str | None


class ChannelView(BaseModel):
    """One way messages leave. `waiting`: deliveries that have not begun to; null for an account manager."""

    channel: str
    configured: bool
    health: ChannelHealth
    pause: ChannelPause | None
    waiting: int | None
    senders: list[Sender]


class ChannelPage(Page[ChannelView]):
    """Channels, in the order of their codes."""
