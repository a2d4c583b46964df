"""What stands before the verb."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Flags:
    """What stands before the verb; `settings` is nested like the settings and wins over all else."""

    config: Path | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    log_level: str | None = None
