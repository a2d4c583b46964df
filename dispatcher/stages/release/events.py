"""What wakes the sending of a released slice."""

from datetime import datetime

from channels.model import ChannelKind
from dispatcher.jobs import Event

PUBLISHES = (
    "slice.released.urgent.email",
    "slice.released.urgent.sms",
    "slice.released.urgent.social",
    "slice.released.email",
    "slice.released.sms",
    "slice.released.social",
)

URGENT_LANE = 0


def released_event(channel: int, lane: int, slice_id: int, start: datetime) -> Event:
    """What wakes the sending of a released slice; `channel` is a code as in `slice.channel`.

    P0 has consumers of its own for each channel, so that no hanging call of a lower lane, nor of
    another provider, stands before it.
    """
    kind = ChannelKind.from_code(channel)
    way = f"urgent.{kind}" if lane == URGENT_LANE else kind.value
    # A slice that is given back is released anew while the job that gave it back still runs.
    return Event(f"slice.released.{way}", slice_id, 10 - lane, turn=start.isoformat())
