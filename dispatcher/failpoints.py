"""Places where a test may kill, stop or delay this very process. Inert unless armed by settings."""

import asyncio
import os
import signal
from collections.abc import Mapping

_armed: dict[str, str] = {}


def arm(points: Mapping[str, str]) -> None:
    """Set what happens where: `{"send.after_intent": "kill"}`; actions are kill, stop, delay:SECONDS."""
    _armed.clear()
    _armed.update(points)


async def reach(name: str) -> None:
    """Do what is armed for this place, usually nothing."""
    action = _armed.get(name)
    if action is None:
        return
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif action.startswith("delay:"):
        await asyncio.sleep(float(action.removeprefix("delay:")))
    else:
        raise ValueError(f"failpoint {name}: unknown action {action}")
