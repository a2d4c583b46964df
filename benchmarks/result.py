"""What a bench found: one row a case, its aims, and both as a table and as JSON."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from rich.console import Console
from rich.table import Table

WORKER_MB: Final = 150
BYTES_A_DELIVERY: Final = 600
# Below this, half-empty pages and empty tables outweigh the rows.
ENOUGH_FOR_BYTES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Aim:
    """What a number should be: at least `wanted`, or, with `at_most`, not more than that."""

    what: str
    measured: float
    wanted: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        if self.at_most:
            return self.measured <= self.wanted
        return self.measured >= self.wanted

    @property
    def text(self) -> str:
        """For people: what was wanted, what came out."""
        sign = "≤" if self.at_most else "≥"
        return f"{self.what} {sign} {number(self.wanted)}: {number(self.measured)}"


@dataclass(frozen=True, slots=True)
class Costs:
    """CPU in seconds per 1,000 of what was counted; `rss_mb`: peak of the largest product process."""

    cpu_product: float
    cpu_postgres: float
    cpu_load: float
    rss_mb: float | None = None


@dataclass(slots=True, kw_only=True)
class Row:
    """One case. `product` and `bare` are in `unit`; `costs` are those of the product's run."""

    bench: str
    case: str
    unit: str
    product: float
    n: int
    seconds: float
    bare: float | None = None
    bare_what: str = ""
    db_bytes: float | None = None
    costs: Costs | None = None
    aims: list[Aim] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ratio(self) -> float | None:
        """Product to bare reference of the same run."""
        return self.product / self.bare if self.bare else None

    @property
    def met(self) -> bool | None:
        """Whether all aims are met; None where there is none."""
        return all(aim.met for aim in self.aims) if self.aims else None

    def judge_house(self) -> None:
        """Add the aims that hold for every case: worker memory and database bytes."""
        if self.costs is not None and self.costs.rss_mb is not None:
            self.aims.append(Aim("worker MB", self.costs.rss_mb, WORKER_MB, at_most=True))
        if self.db_bytes is not None and self.n >= ENOUGH_FOR_BYTES:
            self.aims.append(Aim("bytes", self.db_bytes, BYTES_A_DELIVERY, at_most=True))

    def as_json(self) -> dict[str, Any]:
        """Everything, with what is computed."""
        data = asdict(self)
        data["aims"] = [{**asdict(aim), "met": aim.met} for aim in self.aims]
        return {**data, "ratio": self.ratio, "met": self.met}


def number(value: float | None) -> str:
    """Three digits that count; nothing for nothing."""
    if value is None:
        return ""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


_COLUMNS: Final = (
    "bench", "case", "product", "bare", "ratio", "aim", "met",
    "MB", "B/row", "cpu", "cpu pg", "cpu load",
)  # fmt: skip
_WORDS: Final = {True: "yes", False: "NO", None: ""}


def draw(rows: Iterable[Row]) -> None:
    """The table on standard output, then the notes."""
    rows = list(rows)
    table = Table(title="CPU: seconds per 1,000; MB: peak of the largest process")
    for name in _COLUMNS:
        # "met" stands beside its aim, line by line.
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(*_cells(row))
    # Piped into a file the width would be 80 and the table unreadable.
    console = Console(width=max(200, Console().width))
    console.print(table)
    for row in rows:
        for note in row.notes:
            console.print(f"{row.bench} {row.case}: {note}", markup=False, highlight=False)


def _cells(row: Row) -> Sequence[str]:
    costs = row.costs
    return (
        row.bench,
        row.case,
        f"{number(row.product)} {row.unit}",
        number(row.bare) + (f" {row.bare_what}" if row.bare_what else ""),
        number(row.ratio),
        "\n".join(aim.text for aim in row.aims),
        "\n".join(_WORDS[aim.met] for aim in row.aims),
        number(costs.rss_mb if costs else None),
        number(row.db_bytes),
        number(costs.cpu_product if costs else None),
        number(costs.cpu_postgres if costs else None),
        number(costs.cpu_load if costs else None),
    )
