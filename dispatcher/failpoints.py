"""Places where a test may kill, stop, delay or break this very process. Inert unless armed by settings.

The letters are the steps of the fault catalogue: accept, plan, claim, intent, send, record, events, roll-up.
"""

import asyncio
import os
import re
import signal
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, assert_never, cast, get_args

# What is reached once per request or transaction, never once per recipient of a request.
NAMES: Final = frozenset(
    {
        "accept.before_commit",  # A
        "accept.after_commit",
        "compose.before_commit",
        "plan.before_commit",  # P, of each range
        "plan.after_range",
        "plan.between_ranges",  # all ranges are planned, the dispatch does not know it yet
        "release.after_commit",
        "send.after_claim",  # C
        "send.before_intent",  # its moment has come
        "send.after_intent",  # I
        "send.after_call",  # S, the provider has it; once per request
        "send.after_one",  # the same of what leaves one by one
        "send.before_record",
        "record.before_commit",  # R
        "record.after_commit",
        "receipts.before_store",  # E, in web
        "receipts.after_store",
        "track.after_take",  # E, in workers
        "track.before_commit",
        "report.before_store",  # U
        "sweep.before_commit",  # slices of dead workers are given up
        "reconcile.before_commit",  # what is in doubt is decided
        "export.after_block",
        "webhook.before_record",  # the receiver has answered
    }
)

Verb: TypeAlias = Literal["kill", "stop", "exit", "fail", "delay"]
_ACTION: Final = re.compile(
    rf"(?P<verb>{'|'.join(get_args(Verb))})(:(?P<seconds>\d+(\.\d+)?))?(@(?P<turn>[1-9]\d*))?"
)


class FailpointError(ValueError):
    """Something was armed that does not exist; the text says what would."""


class BrokenHereError(Exception):
    """What `fail` raises, as a bug would."""


@dataclass(frozen=True, slots=True)
class _Action:
    """`turn`: only at this arrival; None: at each."""

    verb: Verb
    seconds: float
    turn: int | None


_armed: dict[str, _Action] = {}
_arrivals: Counter[str] = Counter()


def arm(points: Mapping[str, str]) -> None:
    """Set what happens where: `{"send.after_intent": "kill"}`, or only at the third arrival: `"kill@3"`.

    kill and stop are signals, exit ends the process as a broken library would, fail raises, delay:SECONDS
    waits. Raises FailpointError for an unknown place or action.
    """
    if unknown := sorted(points.keys() - NAMES):
        raise FailpointError(
            f"test.at: no failpoint {', '.join(unknown)}; there are {', '.join(sorted(NAMES))}"
        )
    actions = {name: _action(name, text) for name, text in points.items()}
    _armed.clear()
    _arrivals.clear()
    _armed.update(actions)


def _action(name: str, text: str) -> _Action:
    match = _ACTION.fullmatch(text)
    if match is None or (match["verb"] == "delay") != (match["seconds"] is not None):
        raise FailpointError(
            f"test.at: {name} cannot {text}; write kill, stop, exit, fail or delay:SECONDS, "
            "and @N behind it for the Nth time only"
        )
    turn = int(match["turn"]) if match["turn"] else None
    return _Action(cast("Verb", match["verb"]), float(match["seconds"] or 0), turn)


async def reach(name: str) -> None:
    """Do what is armed for this place, usually nothing."""
    action = _armed.get(name)
    if action is None:
        return
    _arrivals[name] += 1
    if action.turn is not None and action.turn != _arrivals[name]:
        return
    match action.verb:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "exit":
            os._exit(70)
        case "fail":
            raise BrokenHereError(name)
        case "delay":
            await asyncio.sleep(action.seconds)
        case _:
            assert_never(action.verb)
