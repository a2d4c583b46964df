"""Chance that repeats: every draw is a function of the seed and of whom it concerns."""

from hashlib import blake2b
from itertools import count
from struct import unpack
from typing import NamedTuple

_SCALE = 2.0**-32


class Draws(NamedTuple):
    """Four independent numbers in [0, 1)."""

    fate: float
    kind: float
    early: float
    late: float


class Chance:
    """Draws by key, so that a run repeats whatever the order or number of its requests."""

    def __init__(self, seed: int) -> None:
        self._key = seed.to_bytes(16, "big", signed=True)

    def draws(self, who: str) -> Draws:
        """The same four numbers for the same `who`, each time."""
        digest = blake2b(who.encode(), digest_size=16, key=self._key).digest()
        return Draws(*(number * _SCALE for number in unpack(">4I", digest)))


class Ids:
    """Identifiers that no earlier run of the sandbox handed out."""

    def __init__(self, started_at: float) -> None:
        self._run = str(started_at).encode()
        self._numbers = count(1)

    def hex(self) -> str:
        """32 hexadecimal digits."""
        number = str(next(self._numbers)).encode()
        return blake2b(number, digest_size=16, key=self._run).hexdigest()
