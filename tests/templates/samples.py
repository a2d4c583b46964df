"""Two incidents as their updates tell them: one with every fact, one with as few as are allowed."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from channels.model import ChannelKind
from templates.brand import Brand
from templates.facts import Facts, FactsPatch, Internal, changed, merge
from templates.render import Kind, Occasion, Rendering, compose
from templates.slots import Person

START = datetime(2026, 11, 22, 13, 5, tzinfo=UTC)
PREFIX = "x7k2q9ab"
SEGMENTS = ("enterprise", "smb", "internal")
EVERYWHERE = {segment: frozenset(ChannelKind) for segment in SEGMENTS}
MARIA = Person(
    name="Maria",
    account="Blue Bottle Ltd",
    unsubscribe_url="https://status.example.com/u/k3m9",
    first_text=True,
    time_zone="Europe/Berlin",
)
BEHIND = Internal.model_validate(
    {
        "cause": "pay-gw-1: leaf certificate expired 13:02 UTC; renewal job failed since 8 Nov.",
        "flags": [{"name": "pay_route_b", "state": "on for half of the traffic"}],
    }
)


def at(minutes: int) -> datetime:
    """So many minutes into the incident."""
    return START + timedelta(minutes=minutes)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One update of a story: its facts and the occasion it is sent on."""

    facts: Facts
    occasion: Occasion


def occasion(kind: Kind, **changes: object) -> Occasion:
    """An occasion of `kind` with whatever else the case needs."""
    usual: dict[str, object] = {
        "kind": kind,
        "status": "investigating",
        "severity": "P1",
        "revision": 1,
        "incident_ref": "INC-42",
        "incident_url": "https://status.example.com/i/42",
        "started_at": START,
        "at": at(10),
        "brand": Brand(),
        "subject_title": "Some customers cannot pay by card",
        "visibility": "public",
    }
    return Occasion(**(usual | changes))  # type: ignore[arg-type] # keyword names are checked at run time


_CARDS: list[tuple[str, Kind, str, int, dict[str, object]]] = [
    (
        "acknowledgement",
        Kind.ACKNOWLEDGEMENT,
        "investigating",
        10,
        {
            "title": "Some customers cannot pay by card",
            "impact": "Card payments fail at the last step of checkout. "
            "Orders are kept and marked as unpaid.",
            "scope": {
                "who": "Shops that take card payments",
                "regions": ["Europe (Frankfurt)", "Europe (Dublin)"],
                "features": ["Checkout", "Payment links"],
            },
            "do_not": [
                "Do not ask buyers to try the same card again: the amount may be held twice."
            ],
            "data_safe": {"safe": True, "text": "Orders and card details are safe."},
            "next_update_by": at(55),
        },
    ),
    (
        "update",
        Kind.UPDATE,
        "identified",
        40,
        {
            "what_we_do": "Half of all card payments already go through our second route. "
            "We are moving the rest step by step and checking each one.",
            "cause": {"text": "A certificate on our first route seems to have run out."},
            "eta": {"earliest": at(100), "latest": at(190)},
            "next_update_by": at(85),
        },
    ),
    ("heartbeat", Kind.UPDATE, "identified", 80, {"next_update_by": at(115)}),
    (
        "workaround",
        Kind.WORKAROUND,
        "identified",
        100,
        {
            "workaround": {
                "steps": [
                    "Open Orders and choose the filter Unpaid.",
                    "Select the order and choose Send invoice.",
                    "Ask your buyer to pay the invoice by bank transfer.",
                ],
                "caveats": "A bank transfer can take one working day to arrive.",
                "validated_by": "Support, on two test accounts",
            },
            "cause": {
                "text": "A certificate on our first route was not renewed in time.",
                "confirmed": True,
            },
            "eta": {
                "earliest": at(115),
                "latest": at(175),
                "confirmed_by": ["Head of Payments"],
            },
            "next_update_by": at(145),
            "links": [
                {"label": "How to send an invoice", "url": "https://help.example.com/invoices"}
            ],
        },
    ),
    (
        "resolved",
        Kind.RESOLVED,
        "resolved",
        155,
        {
            "impact": "Card payments work again for everybody. "
            "Orders marked as unpaid can be paid now.",
            "what_we_do": "We renewed the certificate, moved all payments back and watched them "
            "for 30 minutes. Certificates are now checked every day.",
            "eta": None,
            "next_update_by": None,
        },
    ),
]

_REPORTS: list[tuple[str, Kind, str, int, dict[str, object]]] = [
    (
        "acknowledgement",
        Kind.ACKNOWLEDGEMENT,
        "investigating",
        10,
        {
            "title": "Reports open slowly",
            "impact": "Reports take up to two minutes to open",
            "next_update_by": at(1200),
        },
    ),
    ("update", Kind.UPDATE, "investigating", 700, {"what_we_do": "We have added machines"}),
    ("heartbeat", Kind.UPDATE, "investigating", 1150, {"next_update_by": at(2600)}),
    (
        "workaround",
        Kind.WORKAROUND,
        "investigating",
        1300,
        {"workaround": {"steps": ["Open the report for one month at a time"]}},
    ),
    ("resolved", Kind.RESOLVED, "resolved", 1600, {"next_update_by": None}),
]


def _told(
    updates: list[tuple[str, Kind, str, int, dict[str, object]]], severity: str
) -> dict[str, Step]:
    story: dict[str, Step] = {}
    before: Facts | None = None
    for revision, (name, kind, status, minutes, body) in enumerate(updates, start=1):
        facts = merge(before, FactsPatch.model_validate(body))
        story[name] = Step(
            facts=facts,
            occasion=occasion(
                kind,
                status=status,
                severity=severity,
                revision=revision,
                at=at(minutes),
                subject_title=updates[0][4]["title"],
                changed=changed(before, facts),
            ),
        )
        before = facts
    return story


STORIES: Mapping[str, Mapping[str, Step]] = {
    "cards": _told(_CARDS, "P1"),
    "reports": _told(_REPORTS, "P3"),
}
ALL_STEPS = [
    (story, name, step) for story, steps in STORIES.items() for name, step in steps.items()
]


CARDS = STORIES["cards"]
RICH, SPARSE = CARDS["workaround"].facts, STORIES["reports"]["update"].facts


def composed(
    facts: Facts,
    case: Occasion,
    *,
    behind: Internal | None = BEHIND,
    segment: str = "smb",
    channels: Collection[ChannelKind] = tuple(ChannelKind),
) -> list[Rendering]:
    return compose(facts, behind, case, channels={segment: channels}, tag_prefix=PREFIX)


def one(facts: Facts, case: Occasion, channel: ChannelKind, segment: str = "smb") -> Rendering:
    (rendering,) = composed(facts, case, segment=segment, channels=[channel])
    return rendering
