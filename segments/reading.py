"""Reading CSV and JSON Lines files as numbered records, a line at a time, whatever is in them."""

import codecs
import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Generic, TypeAlias, TypeVar

import orjson
from pydantic import ValidationError

from segments.model import Problem
from segments.records import AccountIn, ComponentIn, ContactIn, problems_of

RecordT = TypeVar("RecordT", AccountIn, ComponentIn, ContactIn)

MAX_LINE: Final = 64 * 1024
"""Bytes; a longer line is a problem, not a record."""

Cells: TypeAlias = dict[str, object]


class FileError(ValueError):
    """The file as a whole cannot be read; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Entry(Generic[RecordT]):
    """One line of the file: a record, or what is wrong with it. `raw` is the line as it was."""

    line: int
    raw: str
    record: RecordT | None
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class _Line:
    """`end` is the offset after it, for progress; `fault` says why there is no text."""

    number: int
    text: str
    fault: str = ""


class SourceFile(Generic[RecordT]):
    """An open file of records. `done` and `size` are bytes, for a progress bar."""

    def __init__(self, path: Path, model: type[RecordT]) -> None:
        self.path = path
        self.model: type[RecordT] = model
        self.header = ""
        self.done = 0
        try:
            self.size = path.stat().st_size
        except OSError as error:
            raise FileError(f"{path} cannot be read: {error.strerror}.") from error

    def entries(self) -> Iterator[Entry[RecordT]]:
        """Every record of the file. Raises FileError."""
        try:
            with self.path.open("rb") as file:
                lines = self._lines(file)
                if self.path.suffix.lower() in {".jsonl", ".ndjson"}:
                    yield from self._json_entries(lines)
                elif self.path.suffix.lower() == ".csv":
                    yield from self._csv_entries(lines)
                else:
                    raise FileError(f"{self.path} is neither .csv nor .jsonl.")
        except OSError as error:
            raise FileError(f"{self.path} cannot be read: {error.strerror}.") from error

    def _lines(self, file: BinaryIO) -> Iterator[_Line]:
        number = 0
        while raw := file.readline(MAX_LINE + 1):
            number += 1
            fault = ""
            if len(raw) > MAX_LINE:
                fault = f"is longer than {MAX_LINE} bytes."
                while raw and not raw.endswith(b"\n"):
                    raw = file.readline(MAX_LINE)
            self.done = file.tell()
            if fault:
                yield _Line(number, "", fault)
                continue
            if number == 1:
                raw = self._without_mark(raw)
            try:
                yield _Line(number, raw.decode())
            except UnicodeDecodeError as error:
                yield _Line(number, "", f"is not UTF-8 (byte {error.start + 1}); convert the file.")

    def _without_mark(self, raw: bytes) -> bytes:
        if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise FileError(f"{self.path} is UTF-16; save it as UTF-8.")
        return raw.removeprefix(codecs.BOM_UTF8)

    def _json_entries(self, lines: Iterator[_Line]) -> Iterator[Entry[RecordT]]:
        for line in lines:
            if line.fault:
                yield _faulty(line.number, line.fault)
            elif line.text.strip():
                yield self._json_entry(line)

    def _json_entry(self, line: _Line) -> Entry[RecordT]:
        try:
            cells = orjson.loads(line.text)
        except orjson.JSONDecodeError as error:
            return _faulty(line.number, f"is not JSON: {error.msg}.", line.text)
        if not isinstance(cells, dict):
            return _faulty(line.number, "is not a JSON object.", line.text)
        return self._entry(line.number, line.text, cells)

    def _csv_entries(self, lines: Iterator[_Line]) -> Iterator[Entry[RecordT]]:
        """Quoted cells may not hold line breaks: no field of ours may."""
        first = next(lines, None)
        if first is None:
            raise FileError(f"{self.path} is empty; its first line must name the columns.")
        if first.fault:
            raise FileError(f"{self.path}:1: {first.fault}")
        self.header = first.text
        columns = [name.strip() for name in _split(first.text)]
        self._check_columns(columns)
        for line in lines:
            if line.fault:
                yield _faulty(line.number, line.fault)
            elif line.text.strip():
                yield self._csv_entry(line, columns)

    def _check_columns(self, columns: list[str]) -> None:
        known = CSV_COLUMNS[self.model]
        for name in columns:
            if columns.count(name) > 1:
                raise FileError(f"{self.path}:1: column {name!r} occurs twice.")
            if name not in known and not (
                self.model is AccountIn and name.startswith("attributes.")
            ):
                raise FileError(
                    f"{self.path}:1: column {name!r} is not known; known are {', '.join(known)}."
                )
        required = [name for name, info in self.model.model_fields.items() if info.is_required()]
        missing = [name for name in required if name not in columns]
        if missing:
            raise FileError(f"{self.path}:1: columns are missing: {', '.join(missing)}.")

    def _csv_entry(self, line: _Line, columns: list[str]) -> Entry[RecordT]:
        try:
            cells = _split(line.text)
        except csv.Error as error:
            return _faulty(line.number, f"is not CSV: {error}.", line.text)
        if len(cells) != len(columns):
            return _faulty(
                line.number, f"has {len(cells)} cells instead of {len(columns)}.", line.text
            )
        try:
            record = _from_cells(dict(zip(columns, cells, strict=True)))
        except _CellError as error:
            problem = Problem(line.number, error.column, str(error))
            return Entry(line.number, line.text, None, (problem,))
        return self._entry(line.number, line.text, record)

    def _entry(self, number: int, raw: str, cells: Cells) -> Entry[RecordT]:
        try:
            return Entry(number, raw, self.model.model_validate(cells), ())
        except ValidationError as error:
            return Entry(number, raw, None, tuple(problems_of(error, number)))


def _faulty(number: int, fault: str, raw: str = "") -> Entry[RecordT]:
    return Entry(number, raw, None, (Problem(number, "", fault),))


def _split(text: str) -> list[str]:
    return next(csv.reader([text], strict=True), [])


class _CellError(ValueError):
    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column


def _yes(column: str, text: str) -> bool:
    match text.strip().lower():
        case "yes" | "true" | "1":
            return True
        case "no" | "false" | "0":
            return False
        case _:
            raise _CellError(column, "is neither yes nor no.")


def _items(text: str) -> list[str]:
    return [item for part in text.split(";") if (item := part.strip())]


def _roles(cells: Mapping[str, str]) -> object:
    return _items(cells["roles"])


def _usage(cells: Mapping[str, str]) -> object:
    found = []
    for item in _items(cells["usage"]):
        component, _, region = item.partition("@")
        found.append({"component": component, "region": region})
    return found


def _subscriptions(cells: Mapping[str, str]) -> object:
    found = []
    for item in _items(cells["subscriptions"]):
        what, is_, wanted = item.rpartition("=")
        component, _, channel = what.rpartition("/")
        if not is_:
            raise _CellError("subscriptions", "must look like email=yes;checkout/sms=no.")
        found.append(
            {
                "component": component or None,
                "channel": channel.strip(),
                "wanted": _yes("subscriptions", wanted),
            }
        )
    return found


def _consent(cells: Mapping[str, str]) -> object:
    if not cells["sms_consent"].strip():
        return None
    return {
        "granted": _yes("sms_consent", cells["sms_consent"]),
        "source": cells.get("sms_consent_source", ""),
        "wording": cells.get("sms_consent_wording", ""),
    }


# Cells that are more than text. The others stand for the field of their name.
_COMPOSED: Final[Mapping[str, Callable[[Mapping[str, str]], object]]] = {
    "roles": _roles,
    "usage": _usage,
    "subscriptions": _subscriptions,
    "sms_consent": _consent,
}
_CONSENT_CELLS: Final = ("sms_consent_source", "sms_consent_wording")

CSV_COLUMNS: Final[Mapping[type, tuple[str, ...]]] = {
    ComponentIn: tuple(ComponentIn.model_fields),
    AccountIn: tuple(name for name in AccountIn.model_fields if name != "attributes"),
    ContactIn: (*ContactIn.model_fields, *_CONSENT_CELLS),
}
"""Accounts also have one column per attribute, named attributes.<name>."""


def _from_cells(cells: Mapping[str, str]) -> Cells:
    record: Cells = {}
    attributes: dict[str, str] = {}
    for column, text in cells.items():
        if column.startswith("attributes."):
            # An empty cell is an attribute that is not set.
            if text.strip():
                attributes[column.removeprefix("attributes.")] = text.strip()
        elif column not in _CONSENT_CELLS:
            compose = _COMPOSED.get(column)
            record[column] = text if compose is None else compose(cells)
    if any(column.startswith("attributes.") for column in cells):
        record["attributes"] = attributes
    return record
