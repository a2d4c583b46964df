"""What SendGrid refuses, in its own words.

`problems` sees up to a thousand recipients per request and is on the path that benchmarks
measure: a quick look at each, and the words only for what did not pass it.
"""

import re
from collections.abc import Iterator
from typing import Any, TypeAlias

Problem: TypeAlias = tuple[str | None, str]
"""The field SendGrid would name, and its sentence."""

MAX_RECIPIENTS = 1_000
MAX_BYTES = 10_000
_FEW_CHARACTERS = MAX_BYTES // 4
"""That many never exceed MAX_BYTES in UTF-8."""
_NONE: dict[str, str] = {}

_ADDRESS = re.compile(r"[^@\s<>,;]+@[^@\s<>,;]+\.[^@\s<>,;.]+")
_RESERVED_HEADERS = frozenset(
    {
        "x-sg-id",
        "x-sg-eid",
        "received",
        "dkim-signature",
        "content-type",
        "content-transfer-encoding",
        "to",
        "from",
        "subject",
        "reply-to",
        "cc",
        "bcc",
    }
)
_USUAL_HEADERS = frozenset(
    {
        "Auto-Submitted",
        "Importance",
        "In-Reply-To",
        "List-Id",
        "List-Unsubscribe",
        "List-Unsubscribe-Post",
        "Message-ID",
        "Precedence",
        "References",
        "X-Auto-Response-Suppress",
        "X-Entity-Ref-ID",
        "X-Priority",
    }
)
_NO_PERSONALIZATIONS = (
    "The personalizations field is required and must have at least one personalization."
)
_NO_TO = (
    "The to array is required for all personalization objects, and must have at least one email "
    "object with a valid email address."
)
_NO_FROM = (
    "The from object must be provided for every email send. It is an object that requires the "
    "email parameter, but may also contain a name parameter."
)
_NO_ADDRESS = "Does not contain a valid address."
_NO_SUBJECT = (
    "The subject is required. You can get around this requirement if you use a template with a "
    "subject defined or if every personalization has a subject defined."
)
_NO_CONTENT = (
    "Unless a valid template_id is provided, the content parameter is required. There must be at "
    "least one defined content block. We typically suggest both text/plain and text/html blocks "
    "are included, but only one block is required."
)
_CONTENT_ORDER = (
    "If present, text/plain and text/html may only be provided once, text/plain being the first "
    "content block and text/html the next."
)
_TWICE = "Each email address in the personalization block should be unique between to, cc, and bcc."
_ROLES = ("to", "cc", "bcc")
_BAD_JSON = "Bad Request"


def problems(mail: object) -> Iterator[Problem]:
    """Everything wrong with a parsed request body; nothing when SendGrid would take it."""
    if not isinstance(mail, dict):
        yield None, _BAD_JSON
        return
    yield from _personalizations(mail.get("personalizations"))
    if not _is_person(mail.get("from")):
        yield "from.email", _NO_FROM
    if "reply_to" in mail and not _is_person(mail["reply_to"]):
        yield "reply_to.email", _NO_ADDRESS
    yield from _subject(mail)
    yield from _content(mail)
    yield from _headers("headers", mail.get("headers"))


def _is_person(value: object) -> bool:
    return isinstance(value, dict) and _is_address(value.get("email"))


def _is_address(value: object) -> bool:
    return isinstance(value, str) and _ADDRESS.fullmatch(value) is not None


def _personalizations(items: object) -> Iterator[Problem]:
    if not isinstance(items, list) or not items:
        yield "personalizations", _NO_PERSONALIZATIONS
        return
    if len(items) > MAX_RECIPIENTS:
        yield "personalizations", "There is a limit of 1000 personalizations per request."
        return
    recipients = 0
    for index, item in enumerate(items):
        if is_plain(item):
            recipients += 1
            continue
        recipients += _recipients(item)
        yield from personalization(index, item)
    if recipients > MAX_RECIPIENTS:
        yield "personalizations", "There is a limit of 1000 recipients over all to, cc and bcc."


def is_plain(item: Any) -> bool:
    """Whether a personalization has the usual, valid shape; False: a closer look is due.

    A handful of operations that run in C, because this is most of what a large request costs.
    """
    try:
        (person,) = item["to"]
        arguments = item.get("custom_args", _NONE)
        tags = item.get("substitutions", _NONE)
        headers = item.get("headers", _NONE)
        strings = "".join((*arguments, *arguments.values(), *tags, *tags.values()))
        return (
            _ADDRESS.fullmatch(person["email"]) is not None
            and len(strings) <= _FEW_CHARACTERS
            and headers.keys() <= _USUAL_HEADERS
            and "".join(headers.values()).isprintable()
            and "cc" not in item
            and "bcc" not in item
        )
    except (TypeError, ValueError, KeyError, AttributeError):
        return False


def personalization(index: int, item: object) -> Iterator[Problem]:
    """Everything wrong with one personalization."""
    if not isinstance(item, dict):
        yield f"personalizations.{index}", "Each personalization must be an object."
        return
    yield from _people(index, item)
    yield from _merge_data(f"personalizations.{index}", item)


def _recipients(item: object) -> int:
    people = (item.get(name) for name in _ROLES) if isinstance(item, dict) else ()
    return sum(len(some) for some in people if isinstance(some, list))


def _people(index: int, item: dict[str, Any]) -> Iterator[Problem]:
    people = item.get("to")
    if not isinstance(people, list) or not people:
        yield f"personalizations.{index}.to", _NO_TO
    elif len(people) > 1 or "cc" in item or "bcc" in item:
        yield from _several(index, item)
    elif not _is_person(people[0]):
        yield f"personalizations.{index}.to.0.email", _NO_ADDRESS


def _several(index: int, item: dict[str, Any]) -> Iterator[Problem]:
    """Each valid, none twice."""
    seen: set[str] = set()
    for name in _ROLES:
        people = item.get(name, [])
        if not isinstance(people, list):
            yield f"personalizations.{index}.{name}", f"The {name} parameter must be an array."
            continue
        for number, person in enumerate(people):
            if not _is_person(person):
                yield f"personalizations.{index}.{name}.{number}.email", _NO_ADDRESS
                continue
            address = person["email"].lower()
            if address in seen:
                field = f"personalizations.{index}.{name}"
                first = f"We found the first duplicate instance of [{address}] in {field}."
                yield field, f"{_TWICE} {first}"
            seen.add(address)


def _merge_data(field: str, item: dict[str, Any]) -> Iterator[Problem]:
    for name in ("custom_args", "substitutions"):
        values = item.get(name)
        if values is not None:
            yield from _strings(f"{field}.{name}", name, values)
    yield from _headers(f"{field}.headers", item.get("headers"))


def _strings(field: str, name: str, values: object) -> Iterator[Problem]:
    if not isinstance(values, dict):
        yield field, f"The {name} parameter must be an object."
        return
    for key, value in values.items():
        if not isinstance(value, str):
            yield f"{field}.{key}", f"Each value of {name} must be a string."
            return
    if _size(values) > MAX_BYTES:
        yield field, f"The total size of your {name} cannot exceed {MAX_BYTES} bytes."


def _size(values: dict[str, str]) -> int:
    return sum(len(key.encode()) + len(value.encode()) for key, value in values.items())


def _headers(field: str, headers: object) -> Iterator[Problem]:
    if headers is None:
        return
    if not isinstance(headers, dict):
        yield field, "The headers parameter must be an object."
        return
    for name, value in headers.items():
        if name.lower() in _RESERVED_HEADERS:
            yield f"{field}.{name}", f"The header {name} is reserved and cannot be overwritten."
        elif not isinstance(value, str) or not name.isascii() or "\n" in value or "\r" in value:
            yield f"{field}.{name}", "Header names must be ASCII and values single-line strings."


def _subject(mail: dict[str, Any]) -> Iterator[Problem]:
    if mail.get("template_id") or _is_text(mail.get("subject")):
        return
    items = mail.get("personalizations")
    each = items if isinstance(items, list) else []
    if not each or not all(isinstance(one, dict) and _is_text(one.get("subject")) for one in each):
        yield "subject", _NO_SUBJECT


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _content(mail: dict[str, Any]) -> Iterator[Problem]:
    if mail.get("template_id"):
        return
    blocks = mail.get("content")
    if not isinstance(blocks, list) or not blocks:
        yield "content", _NO_CONTENT
        return
    types = []
    for index, block in enumerate(blocks):
        if not isinstance(block, dict) or not _is_text(block.get("type")):
            yield f"content.{index}.type", "The content type must be a string."
            return
        if not _is_text(block.get("value")):
            yield (
                f"content.{index}.value",
                "The content value must be a string at least one character in length.",
            )
        types.append(block["type"])
    if [name for name in types if name in _BODIES] not in _ORDERS:
        yield "content", _CONTENT_ORDER


_BODIES = ("text/plain", "text/html")
_ORDERS: tuple[list[str], ...] = ([], ["text/plain"], ["text/html"], ["text/plain", "text/html"])
