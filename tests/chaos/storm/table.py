"""What storms came to, for people and for programs."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from tests.chaos.storm.judge import Verdict


def line(verdict: Verdict) -> str:
    """One storm in one line, said as soon as it is over."""
    said = (
        f"seed {verdict.seed}: {verdict.faults} faults, {verdict.deaths} deaths, {verdict.updates} updates, "
        f"{verdict.deliveries} deliveries, {verdict.ambiguous} slices in doubt, "
        f"{verdict.flagged} flagged, {verdict.seconds:.1f} s"
    )
    troubles = [*verdict.lost, *verdict.doubled, *verdict.wrong]
    return said if verdict.survived else f"{said}\n  FAILED " + "\n  FAILED ".join(troubles)


def totals(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """All storms together, as `--json` prints them."""
    takeovers = sorted(seconds for verdict in verdicts for seconds in verdict.takeovers)
    statuses: Counter[str] = Counter()
    for verdict in verdicts:
        statuses.update(verdict.statuses)
    return {
        "seeds": len(verdicts),
        "survived": sum(verdict.survived for verdict in verdicts),
        "failed_seeds": [verdict.seed for verdict in verdicts if not verdict.survived],
        "faults_injected": sum(verdict.faults for verdict in verdicts),
        "processes_that_died": sum(verdict.deaths for verdict in verdicts),
        "updates": sum(verdict.updates for verdict in verdicts),
        "deliveries": sum(verdict.deliveries for verdict in verdicts),
        "provider_acceptances": sum(verdict.acceptances for verdict in verdicts),
        "lost": sum(len(verdict.lost) for verdict in verdicts),
        "doubled_uncounted": sum(len(verdict.doubled) for verdict in verdicts),
        "otherwise_wrong": sum(len(verdict.wrong) for verdict in verdicts),
        "flagged_maybe_duplicate": sum(verdict.flagged for verdict in verdicts),
        "of_those_really_double": sum(verdict.really_double for verdict in verdicts),
        "slices_ambiguous": sum(verdict.ambiguous for verdict in verdicts),
        "deliveries_unconfirmed": sum(verdict.unconfirmed for verdict in verdicts),
        "take_overs": len(takeovers),
        "take_over_seconds_median": round(median(takeovers), 2) if takeovers else None,
        "take_over_seconds_worst": round(takeovers[-1], 2) if takeovers else None,
        "statuses": dict(sorted(statuses.items())),
        "seconds_per_seed_median": round(median(verdict.seconds for verdict in verdicts), 1),
    }


def table(verdicts: Sequence[Verdict]) -> str:
    """The totals, one a line."""
    return "\n".join(
        f"{name.replace('_', ' '):<26} {value}" for name, value in totals(verdicts).items()
    )


def as_json(verdicts: Sequence[Verdict]) -> str:
    """Totals and every storm."""
    storms = [asdict(verdict) for verdict in verdicts]
    return json.dumps({"totals": totals(verdicts), "storms": storms}, indent=2)
