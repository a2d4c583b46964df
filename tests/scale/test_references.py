"""What is deleted is looked for wherever something may still refer to it; that must not read whole tables."""

from typing import Final

from dispatcher.db import Connection

WITHOUT_INDEX_SQL = """
select f.conrelid::regclass || '.' || a.attname as place, f.confrelid::regclass::text as referred
from pg_constraint f join pg_attribute a on a.attrelid = f.conrelid and a.attnum = f.conkey[1]
where f.contype = 'f' and f.conparentid = 0 and f.connamespace = current_schema()::regnamespace
  and not exists (select from pg_index i where i.indrelid = f.conrelid and i.indkey[0] = f.conkey[1])
"""
# Their rows stay for good, so nobody looks for who refers to them.
NEVER_DELETED: Final = {"account", "contact_version", "endpoint"}
# Canaries of a day.
SMALL: Final = {"canary_update.incident_id"}


async def test_every_reference_to_what_is_deleted_has_an_index(conn: Connection) -> None:
    found = await conn.fetch(WITHOUT_INDEX_SQL)
    slow = {row["place"] for row in found if row["referred"] not in NEVER_DELETED}
    assert slow == SMALL
