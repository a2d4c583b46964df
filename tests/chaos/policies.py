"""Policies for stories: what waits for seconds or minutes in operation waits for one second at most."""

from collections.abc import Sequence
from pathlib import Path

from dispatcher.rules.policy import default_policy_text

_BACKOFF = 'base = "5s"\ncap = "5min"'
_TEXTS = '[sender.sms]\nlimits = [{ count = 100, per = "1s" }]'
# A limit under which a crowd of a story takes a while: so many texts in so many seconds.
TEXTS, WINDOW_S = 60, 2
# How much a busy machine may hold up a message between the worker's clock and the ledger's.
_STRAY_S = 0.2


def impatient(folder: Path, *, texts: int = 100, per_s: int = 1) -> Path:
    """The shipped policy, but a stopped sender asks again within a second, two at most."""
    text = default_policy_text()
    for shipped, ours in (
        (_BACKOFF, 'base = "1s"\ncap = "2s"'),
        (_TEXTS, _TEXTS.replace("100", str(texts)).replace('"1s"', f'"{per_s}s"')),
    ):
        assert shipped in text
        text = text.replace(shipped, ours)
    path = folder / "impatient.toml"
    path.write_text(text)
    return path


def above_the_limit(times: Sequence[float]) -> list[float]:
    """Of moments at which texts were taken, those at which more than TEXTS came within WINDOW_S."""
    ordered = sorted(times)
    pairs = zip(ordered, ordered[TEXTS:], strict=False)
    return [later for earlier, later in pairs if later - earlier < WINDOW_S - _STRAY_S]
