"""From the names callers use to the ids we store."""

from collections.abc import Sequence
from typing import Final

from segments.model import Db

_ACCOUNTS: Final = """
    select external_id, id from account
    where external_id = any ($1::text[]) and removed_at is null
"""
_COMPONENTS: Final = """
    select external_id, id from component
    where external_id = any ($1::text[]) and removed_at is null
"""


async def resolve_accounts(conn: Db, external_ids: Sequence[str]) -> dict[str, int]:
    """Ids by external id; what is missing is unknown."""
    return {row["external_id"]: row["id"] for row in await conn.fetch(_ACCOUNTS, external_ids)}


async def resolve_components(conn: Db, external_ids: Sequence[str]) -> dict[str, int]:
    """Ids by external id; what is missing is unknown."""
    return {row["external_id"]: row["id"] for row in await conn.fetch(_COMPONENTS, external_ids)}
