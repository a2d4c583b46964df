"""One thing that `tidings doctor` looked at."""

from dataclasses import dataclass
from enum import StrEnum


class Mark(StrEnum):
    """How one thing stands."""

    RIGHT = "ok"
    NOTE = "note"
    WRONG = "WRONG"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; `mend` is empty where nothing needs to be done."""

    what: str
    mark: Mark
    detail: str
    mend: str = ""
