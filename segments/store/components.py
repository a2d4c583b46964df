"""Components: the parts of the product that accounts use and incidents concern."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from segments.model import Db, Outcome
from segments.records import ComponentIn
from segments.store.staging import Staged
from segments.store.writer import Numbered, Writer, upsert

_STAGES: Final = """
    create temp table if not exists stage_component (
        line int not null, external_id text not null, name text not null, public_name text,
        description text);
"""
_INSERT: Final = """
    with made as (
        insert into component (external_id, name, public_name, description, created_at, updated_at)
        select external_id, name, coalesce(nullif(public_name, ''), name),
               coalesce(description, ''), $1::timestamptz, $1::timestamptz
        from stage_component s
        where not exists (select from component c where c.external_id = s.external_id)
        order by external_id
        on conflict (external_id) do nothing
        returning id
    ) insert into stage_made select id from made
"""
_UPDATE: Final = """
    with wanted as (
        select c.id, s.name, coalesce(s.description, c.description) as description,
               case when s.public_name is null then c.public_name
                    else coalesce(nullif(s.public_name, ''), s.name) end as public_name
        from stage_component s join component c on c.external_id = s.external_id
        where c.id not in (select id from stage_made)
        order by s.external_id
    ), changed as (
        update component c
        set name = w.name, public_name = w.public_name, description = w.description,
            removed_at = null, updated_at = $1::timestamptz
        from wanted w
        where c.id = w.id
          and (c.name, c.public_name, c.description, c.removed_at)
              is distinct from (w.name, w.public_name, w.description, null)
        returning c.id
    ) insert into stage_touched select id from changed
"""


class ComponentWriter(Writer[ComponentIn]):
    """Writes components."""

    kind = "components"
    table = "stage_component"
    create_tables = _STAGES

    def __init__(self, conn: Db, *, now: datetime) -> None:
        super().__init__(conn)
        self.now = now

    def stage(self, staged: Staged, line: int, record: ComponentIn) -> None:
        staged.add(
            self.table,
            line,
            record.external_id,
            record.name,
            record.public_name if record.given("public_name") else None,
            record.description if record.given("description") else None,
        )

    def checks(self) -> tuple[str, ...]:
        return ()

    async def store(self) -> None:
        await self.conn.execute(_INSERT, self.now)
        await self.conn.execute(_UPDATE, self.now)


async def upsert_components(
    conn: Db, records: Sequence[Numbered[ComponentIn]], *, now: datetime, keep_going: bool = False
) -> Outcome:
    """Create or change components. With problems and without `keep_going`, nothing is written."""
    return await upsert(ComponentWriter(conn, now=now), records, keep_going=keep_going)
