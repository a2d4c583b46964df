"""What becomes of a text, by number: the magic endings from a table, the rest by chance.

The ending is the last four digits. +1 NPA 555 0100 to 0189 are ordinary numbers, 0190 to 0199 are
reserved for the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dispatcher.sandbox.chance import Draws

LONG: Final = 10.0
EXPIRED: Final = 30036
_ENDING = 4


@dataclass(frozen=True, slots=True)
class Turn:
    """A status and when it comes.

    `when` is on a scale on which 0 is the first and 1 the last moment of an ordinary receipt.
    """

    status: str
    when: float
    error: int | None = None


Fate = tuple[Turn, ...]


def undelivered(error: int) -> Fate:
    return (Turn("sent", 0), Turn("undelivered", 0.5, error))


MAGIC: Final[Mapping[str, Fate]] = {
    "0190": (Turn("sent", 0),),
    "0191": (),
    "0192": (Turn("sent", 0), Turn("delivered", LONG)),
    "0193": (Turn("failed", 0.5, 30001),),
    "0194": undelivered(30003),
    "0195": undelivered(30004),
    "0196": undelivered(30006),
    "0197": undelivered(30007),
    "0198": undelivered(30008),
    "0199": undelivered(30005),
}
"""Last four digits, and what they bring about."""

_CHANCE_ERRORS: Final = (30003, 30005, 30006)


def fate_of(number: str, draws: Draws, *, bounced: float, deferred: float) -> Fate:
    """`bounced` and `deferred` are shares of ordinary texts: not delivered, and late."""
    magic = MAGIC.get(number[-_ENDING:])
    if magic is not None:
        return magic
    sent = Turn("sent", draws.early * draws.late / 2)
    if draws.fate < bounced:
        error = _CHANCE_ERRORS[int(draws.kind * len(_CHANCE_ERRORS))]
        return (sent, Turn("undelivered", draws.late, error))
    late = 0.5 + draws.kind if draws.fate < bounced + deferred else 0
    return (sent, Turn("delivered", draws.late + late))
