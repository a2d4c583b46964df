"""What came of a storm, by the providers' ledger and a recount of our own rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from dispatcher.rules.states import SliceState
from tests.chaos.harness import Product

# Of each accepted update: how many deliveries with an address it has on each channel.
PLANNED_SQL = """
select u.id, u.state, u.severity, count(d.*) filter (where d.channel = 1 and d.address_id is not null) as mails,
       count(d.*) filter (where d.channel = 2 and d.address_id is not null) as texts
from incident_update u left join delivery d on d.update_id = u.id
group by u.id order by u.id
"""
DOUBT_SQL = """
select count(*) filter (where ambiguous_at is not null) as ambiguous,
       coalesce(sum(n) filter (where maybe_duplicate), 0)::int as flagged,
       count(*) filter (where state = $1) as held
from slice
"""
# The sweep writes these words when it gives up what a dead or frozen worker had in flight.
GIVEN_UP_SQL = """
select intent_at, ambiguous_at from slice
where ambiguous_at is not null and detail = 'its worker went away'
"""


@dataclass(slots=True)
class Verdict:
    """One storm. `lost`, `doubled` and `wrong` must be empty, the rest is for the table."""

    seed: int
    faults: int = 0
    deaths: int = 0
    updates: int = 0
    deliveries: int = 0
    acceptances: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    flagged: int = 0
    really_double: int = 0
    ambiguous: int = 0
    unconfirmed: int = 0
    takeovers: list[float] = field(default_factory=list)
    statuses: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def survived(self) -> bool:
        return not (self.lost or self.doubled or self.wrong)


async def judge(
    product: Product,
    verdict: Verdict,
    *,
    accepted: int,
    audience: tuple[int, int],
    deaths: Sequence[datetime],
) -> None:
    """Fill in the verdict; everything has settled. `audience`: people with mail, people with text."""
    differences = await product.differences()
    verdict.deliveries, verdict.acceptances = differences.deliveries, differences.acceptances
    verdict.really_double, verdict.unconfirmed = (
        differences.maybe_duplicates,
        differences.unconfirmed,
    )
    for kind, samples in differences.samples.items():
        place = {"without_acceptance": verdict.lost, "more_than_once": verdict.doubled}
        place.get(kind, verdict.wrong).append(f"{kind}: {', '.join(samples)}")
    await _judge_plans(product, verdict, accepted, audience)
    pool = product.ctx.pool
    doubt = await pool.fetchrow(DOUBT_SQL, SliceState.HELD)
    assert doubt is not None
    verdict.deaths = len(deaths)
    verdict.ambiguous, verdict.flagged = doubt["ambiguous"], doubt["flagged"]
    if doubt["held"]:
        verdict.wrong.append(f"{doubt['held']} healthy slices are held")
    verdict.statuses = await product.statuses()
    for row in await pool.fetch(GIVEN_UP_SQL):
        causes = [death for death in deaths if row["intent_at"] <= death <= row["ambiguous_at"]]
        if causes:
            verdict.takeovers.append((row["ambiguous_at"] - max(causes)).total_seconds())


async def _judge_plans(
    product: Product, verdict: Verdict, accepted: int, audience: tuple[int, int]
) -> None:
    """Every accepted update is there once, and has everybody it concerns."""
    rows = await product.ctx.pool.fetch(PLANNED_SQL)
    verdict.updates = len(rows)
    if len(rows) != accepted:
        verdict.lost.append(f"{accepted} updates were answered with 202, {len(rows)} are stored")
    mails, texts = audience
    for row in rows:
        expected = (mails, texts if row["severity"] <= 1 else 0)
        if row["state"] != "planned" or (row["mails"], row["texts"]) != expected:
            verdict.lost.append(
                f"update {row['id']} is {row['state']} with {row['mails']} mails and "
                f"{row['texts']} texts instead of {expected}"
            )
