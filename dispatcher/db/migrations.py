"""The schema: numbered steps, forward only."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from dispatcher.db.connections import Connection

_MIGRATIONS: Final = files("dispatcher") / "migrations"
_MIGRATION_NAME: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_ADVISORY_LOCK: Final = 0x7469_6469_6E67_7300  # "tidings" in bytes
# Waiting for another migrator, or building an index, may take longer than any statement.
_PATIENCE_S: Final = 24 * 3600.0
_WALLS: Final = 9
"""The migration that knows how to raise the wall before account managers."""

CREATE_MIGRATION_SQL = """
create table if not exists migration (
    number int primary key, name text not null, checksum text not null, at timestamptz not null)
"""
APPLIED_SQL = "select number, name, checksum from migration order by number"
RECORD_MIGRATION_SQL = """
insert into migration (number, name, checksum, at) values ($1, $2, $3, clock_timestamp())
"""
# A restored database, or a server that refused at first, gets the role then. A gap that is left stops
# nothing but the callers who need the wall.
RAISE_WALL_SQL = "select raise_wall()"


class MigrationError(Exception):
    """The schema and this program do not fit; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered, forward-only step of the schema."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def shipped_migrations(folder: Traversable = _MIGRATIONS) -> list[Migration]:
    """The steps this program knows, in order; numbers start at 1 without gaps.

    Raises:
        MigrationError: a file is misnamed, or a number is missing or there twice.
    """
    found = []
    for file in folder.iterdir():
        if file.name.endswith(".sql"):
            parts = _MIGRATION_NAME.fullmatch(file.name)
            if parts is None:
                raise MigrationError(f"migrations/{file.name} is not named like 0001_what.sql.")
            found.append(Migration(int(parts[1]), parts[2], file.read_text(encoding="utf-8")))
    found.sort(key=lambda step: step.number)
    if [step.number for step in found] != list(range(1, len(found) + 1)):
        raise MigrationError("migrations/ has a gap or a number twice.")
    return found


async def migrate(conn: Connection, steps: Sequence[Migration] | None = None) -> list[int]:
    """Bring the schema up to date; many processes may call it at once. Returns what was applied.

    Raises:
        MigrationError: an applied file was changed, or the database is newer than this program.
    """
    steps = shipped_migrations() if steps is None else steps
    await conn.execute("set statement_timeout = 0")
    try:
        await conn.execute("select pg_advisory_lock($1)", _ADVISORY_LOCK, timeout=_PATIENCE_S)
        try:
            return await _apply(conn, steps)
        finally:
            await conn.execute("select pg_advisory_unlock($1)", _ADVISORY_LOCK)
    finally:
        await conn.execute("reset statement_timeout")


async def _apply(conn: Connection, steps: Sequence[Migration]) -> list[int]:
    await conn.execute(CREATE_MIGRATION_SQL)
    applied = await conn.fetch(APPLIED_SQL)
    if len(applied) > len(steps):
        raise MigrationError(
            f"The database is at migration {len(applied)}, this program knows {len(steps)}: "
            "a newer Tidings has been here. Start that version."
        )
    for row, step in zip(applied, steps, strict=False):
        if row["checksum"] != step.checksum:
            raise MigrationError(
                f"Migration {step.number:04d}_{step.name} was changed after it had been applied. "
                "Migrations are forward-only: restore the file and add a new one."
            )
    for step in steps[len(applied) :]:
        async with conn.transaction():
            await conn.execute(step.sql, timeout=_PATIENCE_S)
            await conn.execute(RECORD_MIGRATION_SQL, step.number, step.name, step.checksum)
    if len(steps) >= _WALLS:
        await conn.execute(RAISE_WALL_SQL)
    return [step.number for step in steps[len(applied) :]]
