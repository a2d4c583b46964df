"""What is to be thought of the facts: one check for each thing that may stand still, in words for people."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from channels.model import ChannelKind, Reason
from dispatcher.config import WatchSettings
from dispatcher.watch.facts import STEPS, Facts


class State(StrEnum):
    """How one thing stands. Degraded: it must be seen to, but who asks is served all the same."""

    OK = "ok"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at; `mend` is empty where nothing needs to be done."""

    name: str
    state: State
    detail: str
    mend: str = ""


THROTTLED: Final = Reason.THROTTLED.name.lower()
# A provider that asks us to wait a moment is at work; one that asks for longer has stopped.
_SHORT_REST_S: Final = 30.0
_STEP_WORDS: Final = dict(
    zip(
        STEPS,
        (
            "nobody has put it into words",
            "nobody has approved it",
            "its audience is not planned",
            "it could not be put into words",
        ),
        strict=True,
    )
)
_FROM_PROVIDERS: Final = (ChannelKind.EMAIL, ChannelKind.SMS)


def listener(heard: bool) -> Check:  # noqa: FBT001 - the one thing it judges
    """Whether notifications of the database arrive; without them banners and jobs come late."""
    mend = "behind a pooler set TIDINGS_DATABASE__DIRECT_URL"
    return _unless(
        not heard, "listener", "notifications arrive", "notifications do not arrive", mend
    )


def workers(seen: int, within_s: float) -> Check:
    """Whether anybody does the work."""
    if seen:
        return Check("workers", State.OK, f"{seen} seen in the last {within_s:.0f} s")
    return Check(
        "workers", State.UNAVAILABLE, f"none seen for {within_s:.0f} s", "run tidings worker"
    )


def standing(facts: Facts | None, limits: WatchSettings) -> list[Check]:
    """All that may stand still, as seen in the database: each a reason to look, none to refuse anybody.

    Every one is there also when it is right, so that its end can be told.
    """
    if facts is None:
        return [Check("queue", State.DEGRADED, "the database did not say what waits")]
    return [
        *_flow(facts, limits),
        *_slices(facts, limits),
        *_receipts(facts, limits),
        *_senders(facts),
        *_pauses(facts),
        *_canaries(facts),
        *_sources(facts),
        *_webhooks(facts, limits),
    ]


def _flow(facts: Facts, limits: WatchSettings) -> Iterator[Check]:
    yield _unless(
        facts.unlinked,
        "consumers",
        "all have their link to the database",
        f"{facts.unlinked} workers have consumers that lost their link to the database",
        "see their logs for queue_lost; behind a pooler set TIDINGS_DATABASE__DIRECT_URL",
    )
    yield _age(
        "queue",
        facts.oldest_s,
        limits.queue_s,
        "what is due has waited",
        "see tidings channels for limits and pauses, or start more workers",
    )
    step, seconds = max(facts.steps.items(), key=lambda item: item[1], default=("", 0.0))
    words = f" ({_STEP_WORDS.get(step, step)})" if seconds > limits.planning_s else ""
    yield _age(
        "planning",
        seconds,
        limits.planning_s,
        "an update has waited to be planned",
        "cancel its dispatch and post it in other words"
        if step == "failed"
        else "see the log of the workers",
        words,
    )
    yield _age(
        "transactions",
        facts.transaction_s,
        limits.transaction_s,
        "the oldest open transaction has been open",
        "see pg_stat_activity for who holds it; the database cannot clean up meanwhile",
    )


def _slices(facts: Facts, limits: WatchSettings) -> Iterator[Check]:
    stuck, late = facts.stuck_slices, f"for over {limits.slice_s:.0f} s"
    log = "see the log of the workers"
    yield _unless(
        stuck.held,
        "held slices",
        "none",
        f"{stuck.held} were claimed again and again",
        "see the log for what ended their workers; cancel the dispatch or report the fault",
    )
    yield _unless(
        stuck.idle,
        "idle slices",
        "none",
        f"{stuck.idle} were due {late} and nobody began them",
        log,
    )
    yield _unless(stuck.lost, "lost slices", "none", f"{stuck.lost} have had no worker {late}", log)
    yield _unless(
        stuck.doubtful,
        "doubtful slices",
        "none",
        f"{stuck.doubtful} are in doubt {late} beyond their window",
        "see whether receipts arrive and the provider answers",
    )


def _receipts(facts: Facts, limits: WatchSettings) -> Iterator[Check]:
    yield _age(
        "receipts",
        facts.unread_s,
        limits.unread_receipts_s,
        "callbacks have waited to be applied",
        "start more workers",
    )
    yield _unless(
        facts.stuck,
        "stuck receipts",
        "none",
        f"{facts.stuck} callbacks cannot be applied",
        "see the log for receipts_not_applied; they are kept, not lost",
    )
    for kind in _FROM_PROVIDERS:
        since = facts.unheard.get(kind, 0.0)
        yield _unless(
            since,
            f"{kind} receipts",
            "arrive, or none are due",
            f"the provider took messages {since:.0f} s ago and has said nothing since",
            "check its callback address and signing key",
        )


def _senders(facts: Facts) -> Iterator[Check]:
    for kind in facts.tokens:
        rest = facts.resting.get(kind)
        left = (rest.until - facts.at).total_seconds() if rest and rest.until else 0.0
        stopped = rest is not None and not (rest.why == THROTTLED and left <= _SHORT_REST_S)
        why = (rest.why if rest else "").replace("_", " ") or "unknown"
        detail = f"stopped for {left:.0f} s more ({why})" if left else f"on probation ({why})"
        mend = (
            "check its credentials and sender registration"
            if rest and rest.why == Reason.ACCOUNT_PROBLEM.name.lower()
            else "see the status page of the provider"
        )
        yield _unless(stopped, f"{kind} sender", "may send", detail, mend)


def _pauses(facts: Facts) -> Iterator[Check]:
    """What a person stopped is to be seen too, or it is forgotten; why stands where a key is needed."""
    for kind in ChannelKind:
        if kind is ChannelKind.BANNER:
            continue
        until = facts.paused.get(kind)
        yield _unless(
            kind in facts.paused,
            f"{kind} pause",
            "nobody has paused it",
            f"paused by hand until {until:%Y-%m-%d %H:%M} UTC" if until else "paused by hand",
            f"who and why: tidings channels; to let it go on: tidings channels resume {kind}",
        )


def _canaries(facts: Facts) -> Iterator[Check]:
    for kind, canary in facts.canaries.items():
        if kind in facts.paused:
            yield Check(f"{kind} canary", State.OK, "waits: the channel is paused by hand")
            continue
        yield _age(
            f"{kind} canary",
            canary.age_s,
            canary.silent_s,
            "the newest canary that arrived set out",
            "somewhere between accepting and proof nothing moves; see the other checks",
            " ago",
        )


def _sources(facts: Facts) -> Iterator[Check]:
    told = ", ".join(f"{count} {why}" for why, count in facts.refused.items())
    yield _unless(
        len(told),
        "refused sources",
        "none within the hour",
        f"events were not taken, the last within the hour: {told}",
        "see tidings sources list, then tidings intake tail; senders may have given up on us",
    )
    yield _unless(
        facts.silent,
        "silent sources",
        "none",
        f"{facts.silent} have said nothing for longer than their silent_after",
        "see tidings sources list, and whether the sender still sends",
    )


def _webhooks(facts: Facts, limits: WatchSettings) -> Iterator[Check]:
    webhooks = facts.webhooks
    yield _unless(
        webhooks.disabled,
        "disabled webhooks",
        "none but by a person",
        f"{webhooks.disabled} failed for five days or answered 410, and are told nothing any more",
        "see tidings webhooks list; mend the receiver and enable it, or disable it yourself",
    )
    yield _age(
        "failing webhooks",
        webhooks.failing_s,
        limits.webhook_s,
        "a receiver has done nothing but fail for",
        "see tidings webhooks list, then tidings webhooks log",
    )
    yield _age(
        "late webhooks",
        webhooks.late_s,
        limits.webhook_s,
        "a message to a receiver has been due for",
        "see whether workers run, and whether the receiver takes its time",
    )


def _age(name: str, seconds: float, limit: float, what: str, mend: str, after: str = "") -> Check:
    if seconds <= limit:
        return Check(name, State.OK, f"{what} {seconds:.0f} s{after or ' at most'}")
    return Check(name, State.DEGRADED, f"{what} {seconds:.0f} s{after}", mend)


def _unless(wrong: float, name: str, right: str, detail: str, mend: str) -> Check:
    if wrong:
        return Check(name, State.DEGRADED, detail, mend)
    return Check(name, State.OK, right)
