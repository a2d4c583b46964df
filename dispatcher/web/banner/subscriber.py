"""One open stream's place in memory: what its viewer was shown, and what waits to be sent."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from dispatcher.web.banner.items import Item, Viewer

BUFFER: Final = 64


@dataclass(frozen=True, slots=True)
class Change:
    """One thing streams must send, and the bytes of it; without an item it has gone.

    Made once for all who see the same.
    """

    incident_id: int
    item: Item | None
    event: bytes


@dataclass(eq=False, slots=True)
class Subscriber:
    """One open stream; `resync` is set when its buffer overflowed and it needs a snapshot.

    What the reader can take at once is written at once; the rest waits in the queue for the stream's own
    task, and everything after it too until that has caught up.
    """

    viewer: Viewer
    user: tuple[str, str]
    shown: dict[int, Item] = field(default_factory=dict)
    queue: "asyncio.Queue[Change | None]" = field(default_factory=lambda: asyncio.Queue(BUFFER))
    resync: bool = False
    _write: Callable[[bytes], bool] | None = None
    _behind: bool = False

    def follow(self, write: Callable[[bytes], bool]) -> None:
        """The stream has begun: from now on `write` may be tried first. It says whether it has written."""
        self._write = write

    def caught_up(self) -> None:
        """The stream's task has sent what it took from the queue."""
        self._behind = not self.queue.empty()

    def update(self, change: Change) -> None:
        """Note what the viewer sees of an incident now, and queue it if that is news to them.

        A look that was overtaken by a newer one must not bring an old revision back.
        """
        incident_id, item = change.incident_id, change.item
        before = self.shown.get(incident_id)
        overtaken = before and item and item.revision < before.revision
        if item is before or item == before or overtaken:
            return
        if item is None:
            del self.shown[incident_id]
        else:
            self.shown[incident_id] = item
        self._offer(change)

    def _offer(self, change: Change) -> None:
        # A reader too slow for its queue gets a snapshot instead.
        if self.resync:
            return
        if not self._behind and self._write is not None and self._write(change.event):
            return
        self._behind = True
        try:
            self.queue.put_nowait(change)
        except asyncio.QueueFull:
            self.resync = True
            while not self.queue.empty():
                self.queue.get_nowait()
            self.queue.put_nowait(change)

    def end(self) -> None:
        """Let the stream finish; what it had not sent comes with the next snapshot."""
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(None)
