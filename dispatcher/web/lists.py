"""Lists by keyset: `?limit=&cursor=` in, `{"data": […], "next_cursor": …}` and a Link header out."""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any, Final, Generic, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field
from yarl import URL

from dispatcher.rules.problem import FieldProblem
from dispatcher.web.answers import Reply, WebRefusedError
from dispatcher.web.routing import Call

T = TypeVar("T")
_BIGINT: Final = 2**63


class PageQuery(BaseModel):
    """Where in a list, and how much of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: Annotated[str, Field(max_length=200)] | None = None


Q = TypeVar("Q", bound=PageQuery)


class Page(BaseModel, Generic[T]):
    """Some rows of a list; `next_cursor` is null on the last page."""

    data: list[T]
    next_cursor: str | None


def position(query: PageQuery, shape: tuple[type, ...]) -> tuple[Any, ...] | None:
    """The key of the last row already seen, None at the beginning. Refuses a damaged cursor.

    `shape`: int (a bigint) or str (that PostgreSQL can store) for each part of the key.
    """
    if query.cursor is None:
        return None
    try:
        text = query.cursor.encode("ascii").rstrip(b"=")
        raw = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        key = orjson.loads(raw)
    except (UnicodeEncodeError, binascii.Error, orjson.JSONDecodeError):
        key = None
    if not isinstance(key, list) or len(key) != len(shape) or not all(map(_fits, key, shape)):
        raise bad_cursor()
    return tuple(key)


def bad_cursor() -> WebRefusedError:
    """What a cursor that we did not make is answered with."""
    finding = FieldProblem("?cursor", "invalid", "Use next_cursor as it was given")
    return WebRefusedError("invalid-query", problems=[finding])


def page_reply(
    call: Call[None, Q],
    rows: Sequence[T],
    keys: Sequence[Sequence[int | str]],
    model: type[Page[T]],
) -> Reply:
    """The page of `rows`, of which one more than the limit was asked for; `keys` are their keys."""
    limit = call.query.limit
    cursor = None
    if len(rows) > limit:
        raw = orjson.dumps(list(keys[limit - 1]))
        # Without its padding it can be pasted into an address as it is.
        cursor = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    return Reply(
        model(data=list(rows[:limit]), next_cursor=cursor), headers=next_link(call, cursor)
    )


def whole_reply(
    call: Call[None, Q], rows: Sequence[T], keys: Sequence[tuple[str, ...]], model: type[Page[T]]
) -> Reply:
    """The page of a list that is at hand as a whole: all its `rows` in order, each with a key of its own.

    What is gone since the page before is a cursor that cannot be used.
    """
    shape = tuple(map(type, keys[0])) if keys else ()
    after = position(call.query, shape)
    if after is not None and after not in keys:
        raise bad_cursor()
    start = 0 if after is None else keys.index(after) + 1
    return page_reply(call, rows[start:], keys[start:], model)


def next_link(call: Call[None, Q], cursor: str | None) -> dict[str, str]:
    """The Link header to the next page, if there is one."""
    if cursor is None:
        return {}
    # As it came: a name in it may have signs that would begin a query.
    path = URL.build(path=call.request.rel_url.raw_path, encoded=True)
    here = URL(call.ctx.settings.public_url).join(path)
    following = here.with_query({**call.request.query, "cursor": cursor})
    return {"Link": f'<{following}>; rel="next"'}


def _fits(value: object, kind: type) -> bool:
    if type(value) is not kind:
        return False
    if isinstance(value, str):
        return "\x00" not in value
    return not isinstance(value, int) or -_BIGINT <= value < _BIGINT
