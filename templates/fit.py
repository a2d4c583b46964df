"""Making one short message fit: the fullest wording within the budget, the link always kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from templates.graphemes import cut_points
from templates.phrases import sentence

# Stand for the wording that is still to be chosen; facts cannot contain them.
SHORT, EXTRA = "\x03", "\x04"

_WORTH_SAYING = 12  # a beginning of fewer characters tells nobody anything


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A short message whose impact is still to be chosen.

    `frame` holds SHORT and EXTRA. `shorts`: ways to say the impact, fullest first; the last one is
    cut where none fits. `extras`: useful sentences, most useful first, added as far as they cost
    nothing. `finish` gives the final characters, `cost` measures them; `budgets` are tried in turn.
    """

    frame: str
    shorts: Sequence[str]
    extras: Sequence[str]
    finish: Callable[[str], str]
    cost: Callable[[str], int]
    budgets: Sequence[int]
    ellipsis: str


def fitted(draft: Draft) -> str | None:
    """The message, or None when even the shortest wording is over the last budget."""
    for budget in draft.budgets:
        for short in draft.shorts:
            if draft.cost(_text(draft, short, ())) <= budget:
                return _with_extras(draft, short, budget)
    limit = draft.budgets[-1]
    for short in _cut(draft.shorts[-1], draft.ellipsis):
        text = _text(draft, short, ())
        if draft.cost(text) <= limit:
            return text
    return None


def _with_extras(draft: Draft, short: str, budget: int) -> str:
    chosen: list[str] = []
    for extra in draft.extras:
        if draft.cost(_text(draft, short, [*chosen, extra])) <= budget:
            chosen.append(extra)
    return _text(draft, short, chosen)


def _text(draft: Draft, short: str, extras: Sequence[str]) -> str:
    text = draft.frame.replace(SHORT, short).replace(EXTRA, " ".join(map(sentence, extras)))
    return draft.finish(" ".join(text.split()))


def _cut(text: str, ellipsis: str) -> Sequence[str]:
    """Ever shorter beginnings of `text`, cut between words where it has any."""
    return [
        text[:end].rstrip(" ,;:.-") + ellipsis
        for end in reversed(cut_points(text))
        if end >= _WORTH_SAYING
    ]
