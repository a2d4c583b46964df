"""Call every GET route of the table with whatever could stand in its path, and keep all that comes back."""

import asyncio
import io
import itertools
import re
import zipfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from dispatcher.web.routes import ROUTES
from tests.walls.story import CUSTOMERS, World
from tests.web.client import Api

_STREAM_S = 0.3


@dataclass(frozen=True)
class Seen:
    """One answer: where from, its status, and headers and body as text."""

    operation: str
    path: str
    status: int
    text: str


def paths(world: World) -> Sequence[tuple[str, str]]:
    """Operation and path of every GET, with everything the story has in the place of each parameter."""
    told = (world.everybody, world.only_south, world.internal, world.draft)
    values: Mapping[str, Collection[str]] = {
        "incident_id": [one.incident for one in told],
        "update_id": [one.update for one in told],
        "dispatch_id": [one.dispatch for one in told if one.dispatch],
        "external_id": [one.id for one in CUSTOMERS],
        "export_id": list(world.exports.values()),
        "source_id": [world.sender.id],
        "format": ["csv"],
    }
    people = [name for one in CUSTOMERS for name in one.people]
    found = []
    for route in ROUTES:
        if route.method == "GET":
            names = re.findall(r"{(\w+)}", route.path)
            fitting = {**values, "external_id": people} if "/contacts/" in route.path else values
            for choice in itertools.product(*(fitting.get(name, ["nothing"]) for name in names)):
                path = route.path.format(**dict(zip(names, choice, strict=True)))
                found.append((route.operation, path))
    return found


async def walk(api: Api, world: World) -> Sequence[Seen]:
    """Every answer there is for this caller; what refuses or is not there too."""
    return [await look(api, operation, path) for operation, path in paths(world)]


async def look(api: Api, operation: str, path: str) -> Seen:
    """One answer, of a stream its beginning."""
    url = f"{api.base}{path}"
    async with api.session.get(url, headers=api.headers, allow_redirects=False) as response:
        if response.content_type == "text/event-stream":
            try:
                body = await asyncio.wait_for(response.content.read(100_000), _STREAM_S)
            except TimeoutError:
                body = b""
        else:
            body = await response.read()
        headers = "\n".join(f"{name}: {value}" for name, value in response.headers.items())
        return Seen(operation, path, response.status, f"{headers}\n\n{readable(body)}")


def readable(body: bytes) -> str:
    """Text; of a workbook, which is an archive, that of all its parts."""
    if not body.startswith(b"PK"):
        return body.decode(errors="replace")
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return "\n".join(archive.read(name).decode() for name in archive.namelist())


def leaks(answers: Sequence[Seen], strings: Collection[str]) -> set[tuple[str, str]]:
    """Operation and string wherever one of them was read, but in an answer that only repeats its path."""
    return {
        (seen.operation, text)
        for seen in answers
        for text in strings
        if text in seen.text and not (seen.status >= 300 and text in seen.path)
    }


def read_in(answers: Sequence[Seen], strings: Collection[str]) -> set[str]:
    """Which of them were read anywhere."""
    return {text for text in strings if any(text in seen.text for seen in answers)}
