"""Passwords: argon2id, off the event loop, a few at a time; and which ones are refused."""

import asyncio
import re
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from dispatcher.rules.problem import RefusedError, invalid
from dispatcher.web.answers import WebRefusedError

T = TypeVar("T")

SHORTEST: Final = 12
LONGEST: Final = 256

# The library's own choice, RFC 9106's second: it rises with the library, and hashes rise after it.
HASHER: Final = PasswordHasher()
# Each takes 64 MiB and a tenth of a second of four cores, so this is how many there are at once.
_AT_ONCE: Final = 2
# Of strangers; who is known, or has a link, still finds room when those have taken theirs.
_MOST_STRANGERS: Final = 20
_MOST: Final = 40
_THREADS: Final = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="argon2")


@dataclass(slots=True)
class _Queue:
    waiting: int = 0


_QUEUE: Final = _Queue()

# What the password of nobody is compared with: it takes as long, and never fits.
NOBODYS_HASH: Final = (
    "$argon2id$v=19$m=65536,t=3,p=4"
    "$l0GZWXFZPTNWyYtAB5wlHw$2ykuS08R2G8nOlsPq9glakqm/FbPKtMg6sn6smDUU3E"
)

_PRODUCT: Final = ("tidings", "password", "passwort", "qwerty", "letmein", "incident")
_LEFT_OVER: Final = 6
_DIFFERENT: Final = 5


@contextmanager
def place(*, known: bool) -> Iterator[None]:
    """A place among those who wait for a hash; taken before an attempt is counted, and kept until it is judged.

    Who is sent away afterwards would have failed unheard. `known`: they were let in from here lately.
    Raises WebRefusedError (429) when there is none.
    """
    if _QUEUE.waiting >= (_MOST if known else _MOST_STRANGERS):
        raise WebRefusedError("too-many-attempts", headers={"Retry-After": "5"})
    _QUEUE.waiting += 1
    try:
        yield
    finally:
        _QUEUE.waiting -= 1


async def hashed(password: str) -> str:
    """The password as it is stored."""
    return await _in_thread(lambda: HASHER.hash(_plain(password)))


async def fits(password: str, stored: str | None) -> bool:
    """Whether it is the password; of somebody without one, after as long a time, never."""
    fitting = await _in_thread(lambda: _fits(_plain(password), stored or NOBODYS_HASH))
    return fitting and stored is not None


def is_outdated(stored: str) -> bool:
    """Whether it was made with less effort than is usual now."""
    return HASHER.check_needs_rehash(stored)


def refuse_weak(password: str, *, pointer: str, email: str, brand: str) -> None:
    """Raises RefusedError (422) for what is too short, or what everybody would try first.

    There are no rules of composition: they make passwords worse. Length is what counts.
    """
    if len(_plain(password)) < SHORTEST:
        raise _weak(pointer, f"Needs {SHORTEST} characters at least; several words do well")
    if len(set(_plain(password))) < _DIFFERENT:
        raise _weak(pointer, f"Needs {_DIFFERENT} different characters at least")
    left = _letters(password)
    local, _, domain = email.partition("@")
    for word in (email, local, *domain.split("."), brand, *_PRODUCT):
        left = left.replace(_letters(word), "") if _letters(word) else left
    if len(re.sub(r"[\d_]", "", left)) < _LEFT_OVER:
        raise _weak(pointer, "Is too close to your address, the product's name, or a common one")


def _weak(pointer: str, detail: str) -> RefusedError:
    return invalid(pointer, "weak_password", detail)


def _letters(text: str) -> str:
    return re.sub(r"\W", "", _plain(text).casefold())


def _plain(password: str) -> str:
    # Keyboards write the same letters in several ways.
    return unicodedata.normalize("NFKC", password)


def _fits(password: str, stored: str) -> bool:
    try:
        return HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


async def _in_thread(work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_THREADS, work)
