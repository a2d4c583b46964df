"""What all writers share: duplicates, counting, and the order of things."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeAlias, TypeVar

from segments.model import Db, Outcome, Problem
from segments.records import AccountIn, ComponentIn, ContactIn
from segments.store.staging import Staged

RecordT = TypeVar("RecordT", AccountIn, ComponentIn, ContactIn)
Numbered: TypeAlias = tuple[int, RecordT]
"""A record and the line it came from; lines of one call differ."""

_ANALYZE_FROM = 1000
_TEMP_TABLES: Final = """
    create temp table if not exists stage_seen (external_id text primary key, line int not null);
    create temp table if not exists stage_made (id bigint not null);
    create temp table if not exists stage_touched (id bigint not null);
"""
# Lines of one chunk are compared too: the first line of an id is the one that is kept.
_REMEMBER = """
    insert into stage_seen select external_id, min(line) from {table} group by external_id
    on conflict (external_id) do nothing
"""
_REPEATED = """
    select s.line, 'external_id' as field, 'occurs before, on line ' || seen.line || '.' as reason
    from {table} s join stage_seen seen on seen.external_id = s.external_id and seen.line <> s.line
"""
_COUNT: Final = """
    select (select count(*) from stage_made),
           (select count(distinct id) from stage_touched
            where id not in (select id from stage_made))
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many records made something new, changed something, or changed nothing."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.created + other.created,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
        )


class Writer(ABC, Generic[RecordT]):
    """Writes records of one kind, chunk by chunk: begin once, then stage, check and write each chunk.

    Everything happens on one connection, inside the caller's transaction; `stage` alone needs neither
    and may be called in another thread.
    """

    kind: str
    table: str
    """The temporary table with one row per record (columns line and external_id among them)."""
    create_tables: str
    details: tuple[str, ...] = ()
    """Further temporary tables, with the record's line."""

    def __init__(self, conn: Db) -> None:
        self.conn = conn
        self._analyzed = False

    async def begin(self) -> None:
        """Make the temporary tables, or empty those of an earlier use of the connection."""
        await self.conn.execute(_TEMP_TABLES + self.create_tables)
        await self.conn.execute("truncate stage_seen")

    @abstractmethod
    def stage(self, staged: Staged, line: int, record: RecordT) -> None:
        """Add the rows of one record."""

    async def check(self, staged: Staged) -> list[Problem]:
        """Copy a chunk into the temporary tables; what is wrong with it in the light of what is stored."""
        tables = ", ".join((self.table, *self.details, "stage_made", "stage_touched"))
        await self.conn.execute(f"truncate {tables}")
        await staged.copy(self.conn)
        await self._analyze(staged.count(self.table))
        await self.resolve()
        await self.conn.execute(_REMEMBER.format(table=self.table))
        found = await self.conn.fetch(
            " union all ".join((_REPEATED.format(table=self.table), *self.checks()))
            + " order by 1, 2"
        )
        return [Problem(*row) for row in found]

    async def _analyze(self, n_records: int) -> None:
        """Once is enough: the size of a table is looked at anyway, and the chunks are alike."""
        if n_records >= _ANALYZE_FROM and not self._analyzed:
            self._analyzed = True
            for table in (self.table, *self.details):
                await self.conn.execute(f"analyze {table}")

    async def write(self, leave_out: Iterable[int] = ()) -> Counts:
        """Write the chunk that was checked, less the lines in `leave_out`."""
        if lines := sorted(set(leave_out)):
            for table in (self.table, *self.details):
                await self.conn.execute(f"delete from {table} where line = any ($1::int[])", lines)
        staged: int = await self.conn.fetchval(f"select count(*) from {self.table}")
        await self.store()
        created, updated = await self.conn.fetchrow(_COUNT) or (0, 0)
        return Counts(created, updated, staged - created - updated)

    async def resolve(self) -> None:
        """Look up what the records name, where that is of use for more than one statement."""

    @abstractmethod
    def checks(self) -> tuple[str, ...]:
        """SELECTs of (line, field, reason) for what cannot be written."""

    @abstractmethod
    async def store(self) -> None:
        """Write what is staged; new ids into stage_made, changed ones into stage_touched."""


async def upsert(
    writer: Writer[RecordT], records: Sequence[Numbered[RecordT]], *, keep_going: bool
) -> Outcome:
    """One chunk in a transaction of its own (or a savepoint of the caller's)."""
    async with writer.conn.transaction():
        await writer.begin()
        staged = Staged()
        for line, record in records:
            writer.stage(staged, line, record)
        problems = await writer.check(staged)
        if problems and not keep_going:
            return Outcome(problems=tuple(problems))
        counts = await writer.write(problem.line for problem in problems)
    return Outcome(counts.created, counts.updated, counts.unchanged, tuple(problems))
