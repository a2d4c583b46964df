"""Policies for stories: what waits for seconds or minutes in operation waits for one second at most."""

from pathlib import Path

from dispatcher.rules.policy import default_policy_text

_BACKOFF = 'base = "5s"\ncap = "5min"'
_TEXTS = "[sender.sms]\nlimits = [{ count = 100,"


def impatient(folder: Path, *, texts_a_second: int = 100) -> Path:
    """The shipped policy, but a stopped sender asks again within a second, two at most."""
    text = default_policy_text()
    for shipped, ours in (
        (_BACKOFF, 'base = "1s"\ncap = "2s"'),
        (_TEXTS, _TEXTS.replace("100", str(texts_a_second))),
    ):
        assert shipped in text
        text = text.replace(shipped, ours)
    path = folder / "impatient.toml"
    path.write_text(text)
    return path
