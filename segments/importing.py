"""Importing a file of accounts, contacts or components: all of it or nothing, in bounded memory."""

import asyncio
import csv
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, Generic, TextIO, TypeVar, assert_never

from segments.model import Db, Problem
from segments.reading import SourceFile
from segments.records import AccountIn, ComponentIn, ContactIn
from segments.rules import Rules
from segments.store import AccountWriter, ComponentWriter, ContactWriter, Counts, Staged, Writer

RecordT = TypeVar("RecordT", AccountIn, ComponentIn, ContactIn)

CHUNK: Final = 10_000
"""Records written at a time; they and the next as many are in memory, as text."""
CHUNK_CHARACTERS: Final = 8_000_000
CHUNK_PROBLEMS: Final = 10_000
"""A chunk ends early at these, so that no file whatever takes more memory."""
PROBLEMS_KEPT: Final = 1_000

# The client is this very process and may take its time over a chunk; when it dies, the connection
# ends. A chunk is large, so its statements may be slow.
_PATIENCE: Final = """
    set local idle_in_transaction_session_timeout = 0; set local statement_timeout = 0
"""


class ImportKind(StrEnum):
    """What a file holds."""

    COMPONENTS = "components"
    ACCOUNTS = "accounts"
    CONTACTS = "contacts"


@dataclass(frozen=True, slots=True)
class ImportJob:
    """One file to import (.csv or .jsonl).

    With `keep_going` the good records are written and the others left out; without it, one problem
    and nothing is. `reject_path` receives line, field, reason and the record of every problem.
    """

    kind: ImportKind
    path: Path
    rules: Rules
    hash_key: bytes = field(repr=False)
    now: datetime
    keep_going: bool = False
    reject_path: Path | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is: bytes of the file, records read, problems found."""

    done: int
    size: int
    records: int
    problems: int


@dataclass(frozen=True, slots=True)
class ImportOutcome:
    """What became of a file. `problems` are the first PROBLEMS_KEPT of `n_problems`."""

    written: bool
    records: int
    counts: Counts
    n_problems: int
    problems: tuple[Problem, ...]


async def run_import(
    conn: Db, job: ImportJob, progress: Callable[[Progress], None] | None = None
) -> ImportOutcome:
    """Import a file in one transaction. Raises FileError when it cannot be read at all."""
    with ExitStack() as stack:
        rejects = stack.enter_context(_reject_file(job.reject_path)) if job.reject_path else None
        match job.kind:
            case ImportKind.COMPONENTS:
                return await _Import(
                    ComponentWriter(conn, now=job.now),
                    SourceFile(job.path, ComponentIn),
                    _Tally(rejects),
                ).run(keep_going=job.keep_going, progress=progress)
            case ImportKind.ACCOUNTS:
                return await _Import(
                    AccountWriter(conn, rules=job.rules, now=job.now),
                    SourceFile(job.path, AccountIn),
                    _Tally(rejects),
                ).run(keep_going=job.keep_going, progress=progress)
            case ImportKind.CONTACTS:
                return await _Import(
                    ContactWriter(conn, hash_key=job.hash_key, now=job.now),
                    SourceFile(job.path, ContactIn),
                    _Tally(rejects),
                ).run(keep_going=job.keep_going, progress=progress)
            case _:
                assert_never(job.kind)


def _reject_file(path: Path) -> TextIO:
    # It repeats what was in the file, so it is for its owner only.
    path.touch(mode=0o600)
    return path.open("w", encoding="utf-8", newline="")


class _Tally:
    """Counts problems, keeps the first, and writes all of them to the reject file."""

    def __init__(self, rejects: TextIO | None) -> None:
        self.n = 0
        self.kept: list[Problem] = []
        self._rejects = csv.writer(rejects) if rejects else None
        self.wants_raw = rejects is not None
        if self._rejects:
            self._rejects.writerow(("line", "field", "reason", "record"))

    def add(self, problem: Problem, raw: str) -> None:
        self.n += 1
        if len(self.kept) < PROBLEMS_KEPT:
            self.kept.append(problem)
        if self._rejects:
            self._rejects.writerow((problem.line, problem.field, problem.reason, raw.rstrip()))


class _Import(Generic[RecordT]):
    """One file on its way into the database."""

    def __init__(self, writer: Writer[RecordT], source: SourceFile[RecordT], tally: _Tally) -> None:
        self.writer: Writer[RecordT] = writer
        self.source: SourceFile[RecordT] = source
        self.tally = tally
        self.counts = Counts()
        self.records = 0

    async def run(
        self, *, keep_going: bool, progress: Callable[[Progress], None] | None
    ) -> ImportOutcome:
        transaction = self.writer.conn.transaction()
        await transaction.start()
        written = False
        try:
            await self.writer.conn.execute(_PATIENCE)
            await self.writer.begin()
            async with aclosing(self._read_ahead()) as chunks:
                async for chunk in chunks:
                    await self._take(chunk, keep_going=keep_going)
                    if progress:
                        progress(self._progress(chunk))
            written = keep_going or not self.tally.n
        finally:
            await (transaction.commit() if written else transaction.rollback())
        counts = self.counts if written else Counts()
        return ImportOutcome(written, self.records, counts, self.tally.n, tuple(self.tally.kept))

    def _progress(self, chunk: "_Chunk") -> Progress:
        return Progress(chunk.end, self.source.size, self.records, self.tally.n)

    async def _take(self, chunk: "_Chunk", *, keep_going: bool) -> None:
        """Write a chunk; after a problem that stops the import, only look for further ones."""
        self.records += chunk.records
        unfit: list[Problem] = await self.writer.check(chunk.staged)
        for problem in sorted((*chunk.problems, *unfit), key=lambda problem: problem.line):
            self.tally.add(problem, chunk.raws.get(problem.line, ""))
        if keep_going or not self.tally.n:
            self.counts += await self.writer.write(problem.line for problem in unfit)

    async def _read_ahead(self) -> AsyncGenerator["_Chunk"]:
        """Chunks; the next is read and put into text while the database works on this one."""
        chunks = self._chunks()
        coming = asyncio.create_task(asyncio.to_thread(next, chunks, None))
        try:
            while chunk := await coming:
                coming = asyncio.create_task(asyncio.to_thread(next, chunks, None))
                yield chunk
        finally:
            # The thread must be out of the file before anybody closes it.
            await asyncio.gather(coming, return_exceptions=True)

    def _chunks(self) -> Iterator["_Chunk"]:
        chunk = _Chunk()
        for entry in self.source.entries():
            chunk.records += 1
            chunk.characters += len(entry.raw)
            chunk.problems += entry.problems
            if entry.record is not None:
                self.writer.stage(chunk.staged, entry.line, entry.record)
            if self.tally.wants_raw:
                chunk.raws[entry.line] = entry.raw
            if chunk.full:
                chunk.end = self.source.done
                yield chunk
                chunk = _Chunk()
        if chunk.records:
            chunk.end = self.source.done
            yield chunk


@dataclass(slots=True)
class _Chunk:
    """Some records of a file; `end` is the offset after them, `raws` are their lines as they were."""

    staged: Staged = field(default_factory=Staged)
    records: int = 0
    characters: int = 0
    problems: list[Problem] = field(default_factory=list)
    raws: dict[int, str] = field(default_factory=dict)
    end: int = 0

    @property
    def full(self) -> bool:
        return (
            self.records >= CHUNK
            or self.characters >= CHUNK_CHARACTERS
            or len(self.problems) >= CHUNK_PROBLEMS
        )
