"""What must hold of an incident at every moment, judged by what the providers took and what they told."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from channels.model import Fact
from dispatcher.context import Context
from dispatcher.rules.states import TAKEN_MASK, DeliveryState, Shown, SliceState, bit, shown
from dispatcher.sandbox import RunningSandbox
from dispatcher.sandbox.ledger import Provider
from dispatcher.stages.accept import AcceptedUpdate
from dispatcher.stages.report import verify_ledger

DELIVERIES_SQL = """
select d.update_id, d.channel, d.endpoint_id, d.state, d.attempt, d.evidence, d.slice_id,
       s.state as place, d.endpoint_id = any(s.endpoint_ids) as listed, s.attempt as slice_attempt,
       exists (select from slice f where f.maybe_duplicate and f.update_id = d.update_id
               and f.channel = d.channel and d.endpoint_id = any(f.endpoint_ids)) as flagged
from delivery d join slice s on s.id = d.slice_id where d.endpoint_id > 0 and d.channel in (1, 2)
"""
COUNTERS_SQL = "select id, n_by_status from slice order by id"

# Where a delivery ends; from there only proof leads on.
FINAL = frozenset(DeliveryState) - {DeliveryState.PLANNED}
# What people read as "nothing left".
NEVER_LEFT = frozenset(
    {
        Shown.QUEUED,
        Shown.EXPIRED,
        Shown.SUPPRESSED,
        Shown.UNREACHABLE,
        Shown.CANCELLED,
        Shown.SUPERSEDED,
    }
)
TAKEN = frozenset({Shown.ACCEPTED, Shown.DELIVERED})

Key = tuple[int, int, int]
"""Of a delivery: update, channel, endpoint."""


@dataclass(slots=True, kw_only=True)
class Laws:
    """A memory of what the outside world did and was told, and the promises that must hold against it.

    `told`: facts as bits that providers reported, by delivery and attempt. `before`: each delivery at
    the last look.
    """

    ctx: Context
    sandbox: RunningSandbox
    updates: list[AcceptedUpdate] = field(default_factory=list)
    ended: set[int] = field(default_factory=set)
    told: dict[Key, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    before: dict[Key, asyncpg.Record] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)

    async def check(self) -> None:
        """Every promise that holds at any moment."""
        rows = await self.ctx.pool.fetch(DELIVERIES_SQL)
        taken = self._acceptances()
        counted: dict[int, Counter[int]] = defaultdict(Counter)
        for row in rows:
            key = (row["update_id"], row["channel"], row["endpoint_id"])
            status = _shown(row)
            counted[row["slice_id"]][status] += 1
            self._one_step_at_a_time(key, row)
            self._honest(key, row, status, taken[key])
        self._nothing_lost(rows)
        self._in_order(taken)
        await self._counters_agree(counted)

    def _acceptances(self) -> dict[Key, list[int]]:
        """The attempts at each delivery that a provider took, in the order in which it did."""
        found: dict[Key, list[int]] = defaultdict(list)
        for row in self.sandbox.ledger.rows():
            if row["provider"] != Provider.X:
                key = self.ctx.signer.read_delivery_key(row["key"])
                found[(key.update, key.channel, key.endpoint)].append(key.attempt)
        return found

    def _one_step_at_a_time(self, key: Key, row: asyncpg.Record) -> None:
        before = self.before.get(key)
        self.before[key] = row
        assert row["listed"], f"{key} is not in the list of its slice"
        if before is None:
            return
        was, now = DeliveryState(before["state"]), DeliveryState(row["state"])
        if was in FINAL and now is not was:
            assert (was, now) == (DeliveryState.UNCONFIRMED, DeliveryState.ACCEPTED), (
                key,
                was,
                now,
            )
        assert row["attempt"] >= before["attempt"], key
        assert _facts(before) & ~_facts(row) == 0, f"{key} forgot a fact"

    def _honest(self, key: Key, row: asyncpg.Record, status: Shown, attempts: list[int]) -> None:
        most = 2 if row["flagged"] else 1
        assert len(attempts) <= most, f"{key} was accepted {len(attempts)} times"
        assert len(set(attempts)) == len(attempts), f"{key}: one attempt was accepted twice"
        assert all(attempt <= row["attempt"] for attempt in attempts), f"{key} left without intent"
        if status in NEVER_LEFT and not row["flagged"]:
            assert not attempts, f"{key} is shown as {status.word}, and was accepted"
        if status in TAKEN:
            assert attempts, f"{key} is shown as {status.word}, and nobody took it"
        delivered = any(facts & bit(Fact.DELIVERED) for facts in self.told[key].values())
        assert status is not Shown.DELIVERED or delivered, f"{key}: nobody said delivered"
        # Facts of an attempt never touch the next one.
        current = row["evidence"] & 0x7FFF & TAKEN_MASK
        heard = self.told[key].get(row["attempt"], 0)
        if row["attempt"] > 1 and row["state"] != DeliveryState.ACCEPTED:
            assert current & ~heard == 0, (
                f"{key}: facts of an earlier attempt count for a later one"
            )

    def _nothing_lost(self, rows: Sequence[asyncpg.Record]) -> None:
        sizes = Counter(row["update_id"] for row in rows)
        for number, size in sizes.items():
            assert self.sizes.setdefault(number, size) == size, f"update {number} lost deliveries"

    def _in_order(self, taken: dict[Key, list[int]]) -> None:
        """Nobody gets an older text after a newer one."""
        newest: dict[tuple[int, int], int] = {}
        for row in self.sandbox.ledger.rows():
            if row["provider"] == Provider.X:
                continue
            key = self.ctx.signer.read_delivery_key(row["key"])
            person = (key.channel, key.endpoint)
            assert key.update >= newest.get(person, 0), (
                f"{person} got an older update after a newer"
            )
            newest[person] = max(newest.get(person, 0), key.update)
        first = min((accepted.update_id for accepted in self.updates), default=0)
        for (number, channel, endpoint), attempts in taken.items():
            if attempts and number in self.ended and number != first:
                earlier = [
                    key for key in self.before if key[1:] == (channel, endpoint) and key[0] < number
                ]
                told = any(taken.get(key) for key in earlier)
                doubt = any(self._doubtful(key) for key in earlier)
                assert told or doubt or not earlier or self._nothing_before(number), (
                    f"{endpoint} was told of the end and never of the trouble"
                )

    def _doubtful(self, key: Key) -> bool:
        row = self.before[key]
        known = row["place"] != SliceState.AMBIGUOUS and row["state"] != DeliveryState.UNCONFIRMED
        return bool(row["flagged"]) or not known

    def _nothing_before(self, number: int) -> bool:
        """Whether the end is all there is: everything before it was cancelled untold."""
        return all(
            DeliveryState(row["state"]) is DeliveryState.CANCELLED
            for key, row in self.before.items()
            if key[0] < number
        )

    async def _counters_agree(self, counted: dict[int, Counter[int]]) -> None:
        for row in await self.ctx.pool.fetch(COUNTERS_SQL):
            if row["id"] in counted:
                counters = {code: n for code, n in enumerate(row["n_by_status"]) if n}
                assert counters == dict(counted[row["id"]]), f"slice {row['id']} miscounts"

    async def ledger_agrees(self) -> None:
        """Delivery by delivery, what we say was accepted is what was."""
        rows = list(self.sandbox.ledger.rows())

        async def one_by_one() -> Any:
            for row in rows:
                yield _Row(row["provider"], row["key"])

        async with self.ctx.pool.acquire() as conn:
            found = await verify_ledger(conn, one_by_one(), signer=self.ctx.signer)
        assert found.total == 0, found


@dataclass(frozen=True, slots=True)
class _Row:
    provider: str
    key: str


def _shown(row: asyncpg.Record) -> Shown:
    place, state = SliceState(row["place"]), DeliveryState(row["state"])
    return shown(state, place, row["attempt"], row["evidence"])


def _facts(row: asyncpg.Record) -> int:
    """Everything known of any attempt."""
    return int((row["evidence"] | row["evidence"] >> 16) & 0x7FFF)
