"""Who changed what, when: one row per write, in its transaction. Never personal data."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dispatcher.db import Connection

NOTE_SQL = "insert into audit (at, actor, action, object, detail) values ($1, $2, $3, $4, $5)"


async def note(
    conn: Connection,
    *,
    at: datetime,
    actor: str,
    action: str,
    thing: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Leave the row of one write in its transaction.

    `actor` is `user:<public id>`, `key:<id>` of a system, `source:<id>`, `cli`, `recipient`, or `system`,
    which is the program by itself. `thing` is a public or external id.
    """
    await conn.execute(NOTE_SQL, at, actor, action, thing, dict(detail or {}))
