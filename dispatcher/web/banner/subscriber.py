"""One open stream's place in memory: what its viewer was shown, and what waits to be sent."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from dispatcher.web.banner.items import Item, Viewer

BUFFER: Final = 64


@dataclass(frozen=True, slots=True)
class Change:
    """One thing a stream must send; without an item it has gone. `event_id` is its stream id."""

    event_id: int
    incident_id: int
    item: Item | None


@dataclass(eq=False, slots=True)
class Subscriber:
    """One open stream; `resync` is set when its buffer overflowed and it needs a snapshot."""

    viewer: Viewer
    user: tuple[str, str]
    shown: dict[int, Item] = field(default_factory=dict)
    queue: "asyncio.Queue[Change | None]" = field(default_factory=lambda: asyncio.Queue(BUFFER))
    resync: bool = False

    def update(self, event_id: int, incident_id: int, item: Item | None) -> None:
        """Note what the viewer sees of an incident now, and queue it if that is news to them.

        A look that was overtaken by a newer one must not bring an old revision back.
        """
        before = self.shown.get(incident_id)
        overtaken = before and item and item.revision < before.revision
        if item == before or overtaken:
            return
        if item is None:
            del self.shown[incident_id]
        else:
            self.shown[incident_id] = item
        self._offer(Change(event_id, incident_id, item))

    def _offer(self, change: Change) -> None:
        # A reader too slow for its queue gets a snapshot instead.
        if self.resync:
            return
        try:
            self.queue.put_nowait(change)
        except asyncio.QueueFull:
            self.resync = True
            while not self.queue.empty():
                self.queue.get_nowait()
            self.queue.put_nowait(Change(change.event_id, 0, None))

    def end(self) -> None:
        """Let the stream finish; what it had not sent comes with the next snapshot."""
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(None)
