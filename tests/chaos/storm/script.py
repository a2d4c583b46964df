"""What happens in one storm: updates, kills, freezes and misbehaviour, all drawn from one seed.

A seed repeats what is done and when. How the machine schedules the processes in between it cannot repeat,
so a seed that failed is run several times.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Literal, TypeAlias

Severity: TypeAlias = Literal["P0", "P1", "P2"]
Status: TypeAlias = Literal["investigating", "identified", "resolved"]
StrikeKind: TypeAlias = Literal["kill", "kill_all", "freeze", "empty_queue", "cut_connections"]

WORKERS: Final = 2
LASTS_S: Final = 2.5
SEQUELS: Final = (
    0.35  # share of the incidents that get a second update while the first is under way
)
GENERATIONS: Final = 2
UNARMED: Final = 0.35  # share of the processes with nothing in their way
MISBEHAVING: Final = 0.5  # share of the providers, once for sending and once for receipts
# Of web, and of workers. What is killed there dies with its work half done, at the worst moments.
_WEB_POINTS: Final = (
    "accept.before_commit",
    "accept.after_commit",
    "receipts.before_store",
    "receipts.after_store",
)
_WORKER_POINTS: Final = (
    "compose.before_commit",
    "plan.before_commit",
    "plan.after_range",
    "plan.between_ranges",
    "release.after_commit",
    *("send.after_claim", "send.before_intent", "send.after_intent") * 2,
    *("send.after_call", "send.after_one", "send.before_record") * 2,
    *("record.before_commit", "record.after_commit") * 2,
    "track.after_take",
    "track.before_commit",
    "report.before_store",
    "sweep.before_commit",
    "reconcile.before_commit",
)
_ACTIONS: Final = ("kill", "kill", "kill", "exit", "stop", "fail", "delay:0.4")
_STRIKES: Final[tuple[StrikeKind, ...]] = (
    "kill",
    "kill",
    "kill",
    "kill_all",
    "freeze",
    "freeze",
    "empty_queue",
    "cut_connections",
)
_SENDING_FAULTS: Final[tuple[Mapping[str, object], ...]] = (
    {"kind": "accept_then_reset"},
    {"kind": "reset_before_accept"},
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 503, "retry_after": 1},
    {"kind": "rate_limit", "retry_after": 1},
    {"kind": "rate_limit"},
    {"kind": "slow", "seconds": 0.6},
    {"kind": "slow", "seconds": 2.5},
    {"kind": "truncated_body"},
    {"kind": "html_body"},
    {"kind": "accept_then_html"},
)
_RECEIPT_FAULTS: Final[tuple[Mapping[str, object], ...]] = (
    {"kind": "receipt_first"},
    {"kind": "receipts_lost"},
    {"kind": "receipts_duplicated", "copies": 5},
    {"kind": "receipts_reordered"},
    {"kind": "receipts_delayed", "seconds": 1.0},
)


@dataclass(frozen=True, slots=True)
class Post:
    """One update of one incident; `number` makes its idempotency key."""

    at: float
    number: int
    incident: int
    severity: Severity
    status: Status

    @property
    def key(self) -> str:
        return f"storm-{self.number}"


@dataclass(frozen=True, slots=True)
class Strike:
    """Something done to our side from outside. `victim`: 0 is web, then the workers."""

    at: float
    kind: StrikeKind
    victim: int
    lasts: float


@dataclass(frozen=True, slots=True)
class Script:
    """One storm. `armed`: what the first processes at each place have in their way, one after the other."""

    seed: int
    mails: int
    texts: int
    latency: float
    posts: Sequence[Post]
    strikes: Sequence[Strike]
    armed: Sequence[Sequence[Mapping[str, str]]]
    misbehaviour: Sequence[Mapping[str, Any]]

    @property
    def faults(self) -> int:
        """How many things are done to it; a fault of a provider may strike several times."""
        armed = sum(len(points) for place in self.armed for points in place)
        return len(self.strikes) + armed + len(self.misbehaviour)


def draw(seed: int) -> Script:
    """The storm of this seed."""
    rng = Random(seed)
    return Script(
        seed=seed,
        mails=rng.randint(3, 60),
        texts=rng.randint(3, 60),
        # Where providers take their time, more is under way when somebody dies.
        latency=rng.choice((0.01, 0.1, 0.3)),
        posts=_posts(rng),
        strikes=sorted((_strike(rng) for _ in range(rng.randint(2, 5))), key=lambda one: one.at),
        armed=[_armed(rng, points) for points in (_WEB_POINTS, *[_WORKER_POINTS] * WORKERS)],
        misbehaviour=_misbehaviour(rng),
    )


def _posts(rng: Random) -> list[Post]:
    """Up to four incidents, one of which may get a second update while the first is under way."""
    posts: list[Post] = []
    for incident in range(rng.randint(2, 4)):
        severity: Severity = rng.choice(("P0", "P1", "P1", "P2"))
        at = rng.uniform(0, LASTS_S * 0.6) if incident else 0.0
        posts.append(Post(at, len(posts), incident, severity, "investigating"))
        if rng.random() < SEQUELS:
            later = at + rng.uniform(0.1, 1.2)
            status: Status = rng.choice(("identified", "resolved"))
            posts.append(Post(later, len(posts), incident, severity, status))
    return sorted(posts, key=lambda post: post.at)


def _strike(rng: Random) -> Strike:
    kind = rng.choice(_STRIKES)
    # A freeze beyond the lease makes a zombie; a shorter one only a late worker.
    lasts = rng.uniform(0.3, 3.5) if kind == "freeze" else rng.uniform(0.05, 0.8)
    return Strike(rng.uniform(0.1, LASTS_S), kind, rng.randint(0, WORKERS), lasts)


def _armed(rng: Random, points: Sequence[str]) -> list[dict[str, str]]:
    return [_points(rng, points) for _ in range(GENERATIONS)]


def _points(rng: Random, points: Sequence[str]) -> dict[str, str]:
    if rng.random() < UNARMED:
        return {}
    return {rng.choice(points): f"{rng.choice(_ACTIONS)}@{rng.choice((1, 1, 1, 2, 3, 7))}"}


def _misbehaviour(rng: Random) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for provider in ("sendgrid", "twilio"):
        for kinds in (_SENDING_FAULTS, _RECEIPT_FAULTS):
            if rng.random() < MISBEHAVING:
                share = rng.choice((0.1, 0.3, 1.0))
                fault = {**rng.choice(kinds), "provider": provider, "probability": share}
                found.append({**fault, "times": rng.randint(1, 5)})
    return found
