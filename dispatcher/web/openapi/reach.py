"""What a handler comes to: which functions of ours it may call, and with which problems it may refuse.

Read from the compiled code, name by name: whatever a function mentions, it may use. So nothing has to be
declared beside a handler, and nothing declared can be forgotten. It may name too much, never too little
but for what is reached through an object (a channel, an adapter); those raise errors of their own.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

from aiohttp import web

from dispatcher.web.problems import PROBLEMS

_OURS: Final = ("dispatcher.", "segments.", "templates.", "channels.")
_REFUSERS: Final = frozenset({"WebRefusedError", "RefusedError", "conflict"})


@dataclass(frozen=True, slots=True)
class Reach:
    """`functions`: module and qualified name; `texts`: the constants in them."""

    functions: frozenset[str]
    problems: frozenset[str]
    texts: frozenset[str]


@lru_cache(maxsize=1024)
def reach_of(start: Callable[..., Any]) -> Reach:
    """Everything that `start` may come to."""
    seen: set[FunctionType] = set()
    waiting = list(_functions_of(start))
    problems: set[str] = set()
    texts: set[str] = set()
    while waiting:
        function = waiting.pop()
        if function in seen:
            continue
        seen.add(function)
        for code in _codes(function.__code__):
            constants = {item for item in code.co_consts if isinstance(item, str)}
            texts |= constants
            refuses = not _REFUSERS.isdisjoint(code.co_names)
            # A word with a hyphen is a kind of problem and nothing else: it is handed to a helper.
            problems |= {text for text in constants & PROBLEMS.keys() if refuses or "-" in text}
            waiting += _mentioned(function, code)
        for cell in function.__closure__ or ():
            waiting += _functions_of(cell.cell_contents)
    names = frozenset(f"{function.__module__}.{function.__qualname__}" for function in seen)
    return Reach(names, frozenset(problems), frozenset(texts))


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _mentioned(function: FunctionType, code: CodeType) -> Iterator[FunctionType]:
    """What the code's names stand for; a name of a module together with the names after it."""
    for name in code.co_names:
        thing = function.__globals__.get(name)
        if isinstance(thing, ModuleType):
            for attribute in code.co_names:
                yield from _functions_of(getattr(thing, attribute, None))
        elif isinstance(thing, web.AppKey):
            yield from _functions_of(thing._t)  # noqa: SLF001 - the type is kept nowhere else
        else:
            yield from _functions_of(thing)


def _functions_of(thing: object) -> Iterator[FunctionType]:
    """A function of ours, or the methods of a class of ours."""
    if not str(getattr(thing, "__module__", None) or "").startswith(_OURS):
        return
    if isinstance(thing, FunctionType):
        yield thing
        # What wraps it, as a context manager or a cache does, hides it.
        yield from _functions_of(getattr(thing, "__wrapped__", None))
    elif isinstance(thing, type):
        for member in vars(thing).values():
            plain = member.fget if isinstance(member, property) else member
            plain = getattr(plain, "__func__", plain)
            if isinstance(plain, FunctionType) and plain.__module__ == thing.__module__:
                yield plain
    elif hasattr(thing, "__wrapped__"):
        yield from _functions_of(thing.__wrapped__)
