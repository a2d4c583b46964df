"""What stands in the way of an update, and what is good to know before it leaves."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from channels.model import ChannelKind
from dispatcher.stages.accept.body import ENDED
from dispatcher.stages.accept.revise import Revision
from dispatcher.web.preview_models import PreviewFinding, PreviewRendering, Totals


def about_state(
    revision: Revision, now: datetime, *, told: bool, overtaken: bool
) -> Iterator[PreviewFinding]:
    """What submitting would refuse, and what an end is to who was never told of trouble."""
    if overtaken:
        yield _error("overtaken", "", "A newer update of this incident exists; write it again")
    for name in revision.missing:
        pointer = f"/{name}" if name == "component_ids" else f"/facts/{name}"
        yield _error("missing", pointer, f"Nothing can leave without {name}")
    if revision.promise_has_passed(now):
        detail = "The promised time of the next update has already passed"
        yield _error("in-the-past", "/facts/next_update_by", detail)
    if told and revision.status in ENDED:
        detail = (
            "Only who was told of the incident is told of its end; the numbers are of everybody"
        )
        yield _warn("only-who-was-told", "/status", detail)


def about_words(
    unwordable: str,
    renderings: Sequence[PreviewRendering],
    configured: Collection[ChannelKind],
) -> Iterator[PreviewFinding]:
    """That there are no words, or nothing to send them with. `unwordable`: why, or ''."""
    if unwordable:
        yield _error("cannot-be-worded", "/facts", unwordable)
    wanted = {ChannelKind(row.channel) for row in renderings} - {ChannelKind.BANNER}
    for kind in sorted(wanted - set(configured)):
        yield _warn("not-configured", "", f"The channel {kind} has no credentials: nothing leaves")


def about_people(*, empty: bool, counted: bool) -> Iterator[PreviewFinding]:
    """That there is nobody to tell, or that nobody could count them in time."""
    if empty:
        yield _error("empty-audience", "/audience", "Nobody would be told")
    if not counted:
        yield _warn("not-counted", "", "To count the people would have taken too long")


def about_costs(costs: Totals | None) -> Iterator[PreviewFinding]:
    """That the price of texts is not known: it is not nothing."""
    if costs is None or not costs.sms.texts:
        return
    unpriced = costs.sms.texts if costs.sms.cost is None else costs.sms.cost.unpriced_texts
    if unpriced:
        detail = f"The price of {unpriced} texts is not set: see sms_prices in the settings"
        yield _warn("no-price", "", detail)


def _error(code: str, pointer: str, detail: str) -> PreviewFinding:
    return PreviewFinding(code=code, level="error", pointer=pointer, detail=detail)


def _warn(code: str, pointer: str, detail: str) -> PreviewFinding:
    return PreviewFinding(code=code, level="warn", pointer=pointer, detail=detail)
