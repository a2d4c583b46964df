"""Bodies that are nearly right: from a seed, so that a failure can be had again."""

import copy
import os
from collections.abc import Iterator
from random import Random
from typing import Any, Final

import orjson

_ASKED: Final = os.environ.get("TIDINGS_FUZZ_BODIES")
COUNT: Final = int(_ASKED or "400")
"""How many for each adapter alone."""
DOOR_COUNT: Final = int(_ASKED or "30")
"""How many for each through the door, by HTTP and into the database."""

ODD: Final[tuple[Any, ...]] = (
    None,
    True,
    0,
    -1,
    2**63,
    1e300,
    "",
    " ",
    "x" * 5000,
    "\x00",
    "a\x00b",
    "\u202e\ufffe\x85",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "9999-12-31T23:59:59Z",
    "2026-11-22T14:00:00",
    "resolved",
    "firing",
    "P0",
    "a@b.example",
    "☃",
    [],
    {},
    [None],
    [[[[]]]],
    {"": {"": None}},
    [{"status": "firing"}] * 3,
)


NAMES: Final = ("", "a\x00", "\u202e/~", "x" * 5000)
"""Of fields that nobody knows."""


def mutated(bodies: list[dict[str, Any]], seed: str, count: int = COUNT) -> Iterator[bytes]:
    """`count` bodies, each a good one with one to four things wrong, in its values or its bytes."""
    rng = Random(seed)
    for _ in range(count):
        body: Any = copy.deepcopy(rng.choice(bodies))
        for _ in range(rng.randint(1, 4)):
            body = _changed(body, rng)
        raw = orjson.dumps(body)
        yield _damaged(raw, rng) if rng.random() < 0.25 else raw


def _changed(body: Any, rng: Random) -> Any:
    places = list(_places(body))
    if not places:
        return rng.choice(ODD)
    holder, key = rng.choice(places)
    match rng.randrange(5):
        case 0:
            del holder[key]
        case 4 if isinstance(holder, dict):
            holder[rng.choice(NAMES)] = 1
        case 1:
            holder[key] = copy.deepcopy(rng.choice(ODD))
        case 2:
            other, name = rng.choice(places)
            # A copy: what holds itself is no JSON.
            holder[key] = copy.deepcopy(other[name])
        case _:
            holder[key] = [holder[key]] * rng.randint(1, 3)
    return body


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    pairs = (
        list(value.items())
        if isinstance(value, dict)
        else list(enumerate(value))
        if isinstance(value, list)
        else []
    )
    for key, inner in pairs:
        yield value, key
        yield from _places(inner)


def _damaged(raw: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(raw) + 1)
    match rng.randrange(4):
        case 0:
            return raw[:at]
        case 1:
            return raw[:at] + rng.randbytes(rng.randint(1, 4)) + raw[at:]
        case 2:
            return raw[:at] + raw[at + 1 :]
        case _:
            return b"[" * rng.randint(1, 2000) + raw


def headers(rng: Random, secret: str) -> dict[str, str]:
    """What may stand in the headers that prove a sender; surrogates are bytes that are no text."""
    values = (
        "",
        secret,
        f"Bearer {secret}x",
        "Basic !!!",
        "Basic \udcff\udc80",
        "Bearer \udcff",
        "v1=",
        "v1,",
        "v1=" + "0" * 64,
        "v1,\udcff",
        "1e9",
        "-5",
        "9" * 20,
        "1795356000",
        "١٢٣",
        ",,, ,",
    )
    names = (
        "authorization",
        "x-pagerduty-signature",
        "x-grafana-alerting-signature",
        "x-grafana-alerting-timestamp",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "ce-specversion",
        "ce-id",
        "ce-source",
        "ce-type",
        "content-type",
    )
    return {name: rng.choice(values) for name in names if rng.random() < 0.6}
