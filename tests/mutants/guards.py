"""The list of guards, `guards.toml`: what stands where, what stands there without it, and who must notice."""

import tomllib
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

ROOT: Final = Path(__file__).resolve().parents[2]
LIST: Final = Path(__file__).with_name("guards.toml")


class Guard(BaseModel):
    """One guard. In `file`, `text` occurs once; with `instead` in its place each of `tests` must fail.

    `tests` are pytest's names of tests, without parameters; `faults` the numbers of docs/promises.md.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9-]+$")
    file: str
    text: str = Field(min_length=1)
    instead: str
    tests: tuple[str, ...] = Field(min_length=1)
    faults: tuple[int, ...] = ()

    def remove(self, root: Path) -> None:
        """Take the guard out of the copy of the program below `root`. Raises ValueError where it is not."""
        path = root / self.file
        source = path.read_text("utf-8")
        if (found := source.count(self.text)) != 1:
            raise ValueError(f"{self.name}: its text occurs {found} times in {self.file}")
        path.write_text(source.replace(self.text, self.instead), "utf-8")


def read_guards() -> list[Guard]:
    """All of them. Raises what pydantic raises where the list is wrong."""
    data = tomllib.loads(LIST.read_text("utf-8"))
    return TypeAdapter(list[Guard]).validate_python(data["guard"])
