"""What a kind of refusal is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One row; `title` never varies, `remedy` tells the caller what to do."""

    status: int
    title: str
    meaning: str
    remedy: str
