"""A payload as the inspector shows it: no secrets, no addresses, no phone numbers, and not endless."""

import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

from dispatcher.log import masked_text

LONGEST_TEXT: Final = 1000
LONGEST: Final = 64 * 1024
DEEPEST: Final = 50
LEFT_OUT: Final = "[left out]"
_NAME: Final = "[name]"
# An address that a cut goes through would not be known for one.
_MARGIN: Final = 300
_SECRET_KEY: Final = re.compile(
    r"secret|token|passw|pwd|authorization|\bauth\b|(?:api|private|access)_?key|credential|cookie"
    r"|signature|unsubscribe",
    re.IGNORECASE,
)
_PHONE_KEY: Final = re.compile(r"phone|mobile|\btel\b|fax|whatsapp", re.IGNORECASE)
_PERSON_KEY: Final = re.compile(
    r"^(?:agent|actor|user|creator|author|owner|requester|responder|reporter|assignee|commander|lead)s?$"
    r"|_by$|^assigned_to$|^user_?name$|^(?:full|display|first|last)_?name$",
    re.IGNORECASE,
)
_NAMES: Final = frozenset({"name", "summary", "title", "text"})
# Without a plus only what is written like a number one dials: ids and times are long numbers too.
_LOCAL_PHONE: Final = re.compile(r"(?<![\w.-])\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}(?![\w-])")


def masked_body(body: bytes) -> str:
    """JSON text where the body is JSON, else its beginning; at most 64 KiB of it."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return orjson.dumps(
            {"not_json": _text(body[: 4 * LONGEST_TEXT].decode("utf-8", "replace"))}
        ).decode()
    left = [LONGEST]
    return orjson.dumps(_masked(value, left)).decode()


def _masked(value: object, left: list[int], depth: int = 0, *, of_person: bool = False) -> Any:
    """`left` is how many characters may still be shown; when it is used up, what follows is left out.

    `of_person`: the value stands where the sender names somebody.
    """
    left[0] -= 8
    if left[0] < 0 or depth > DEEPEST:
        return LEFT_OUT
    match value:
        case dict():
            return dict(_fields(value, left, depth, of_person=of_person))
        case list():
            return list(_items(value, left, depth, of_person=of_person))
        case str():
            return _NAME if of_person else _text(value, left)
        case _:
            return value


def _fields(
    value: dict[str, Any], left: list[int], depth: int, *, of_person: bool
) -> Iterator[tuple[str, Any]]:
    named = next((value[key] for key in ("name", "key") if isinstance(value.get(key), str)), "")
    for key, item in value.items():
        if left[0] < 0:
            yield "…", LEFT_OUT
            return
        # {"name": "password", "value": …} says the same as {"password": …}.
        word = _blanked(key) or (_blanked(named) if key == "value" else "")
        # What stands beside a person's name, such as an id or a role, is none.
        person = bool(_PERSON_KEY.search(key[:LONGEST_TEXT])) or (of_person and key in _NAMES)
        shown = _hidden(item, word) if word else _masked(item, left, depth + 1, of_person=person)
        yield _text(key, left), shown


def _items(value: list[Any], left: list[int], depth: int, *, of_person: bool) -> Iterator[Any]:
    for item in value:
        if left[0] < 0:
            yield LEFT_OUT
            return
        yield _masked(item, left, depth + 1, of_person=of_person)


def _blanked(key: str) -> str:
    """What stands in place of what is called so; '' where it is shown."""
    name = key[:LONGEST_TEXT]
    if _SECRET_KEY.search(name):
        return "[secret]"
    return "[phone]" if _PHONE_KEY.search(name) else ""


def _hidden(value: object, word: str) -> object:
    """`word`, whatever shape it has; that there is nothing, or a yes or no, may be seen."""
    return value if value is None or isinstance(value, bool) else word


def _text(text: str, left: list[int] | None = None) -> str:
    shown = shortened(text, LONGEST_TEXT)
    if left is not None:
        left[0] -= len(shown)
    return shown


def shortened(text: str, longest: int) -> str:
    """As `without_people`, cut with an ellipsis where it is too long; no part of an address remains."""
    if len(text) <= longest:
        return without_people(text)
    # A part of the text only: what finds addresses takes its time over a megabyte.
    seen = without_people(text[: longest + _MARGIN])
    return seen[: min(longest, max(len(seen) - _MARGIN, 0))] + "…"


def without_people(text: str) -> str:
    """`text` with every address, number and secret replaced by a word in brackets."""
    return _LOCAL_PHONE.sub("[phone]", masked_text(text))
