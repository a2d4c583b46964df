"""Updates, wishes and deletions that come while messages leave: the newest word counts, and nobody's twice."""

import asyncio
import signal
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from dispatcher.rules.reasons import REASONS
from segments.records import ContactIn
from tests.chaos.harness import Product
from tests.chaos.people import body, by_text, crowd
from tests.chaos.policies import impatient
from tests.chaos.processes import Process, until
from tests.profiles import HURRIED

pytestmark = pytest.mark.timeout(120)

TEXTS = 24
Change: TypeAlias = Callable[[Product, ContactIn], Awaitable[None]]
# Segments, of which a text has two. Slices hold what a second carries, so a fan-out can be resolved in its
# middle.
A_SECOND = 12
# The largest that leaves a spare place in each second.
A_SLICE = 11


@pytest.fixture
def slow(hurried: Product, tmp_path: Path) -> Product:
    """A product whose texts leave few at a time, and whose workers may be stopped for a while."""
    changed = {
        "policy_file": impatient(tmp_path, texts=A_SECOND),
        "worker": HURRIED.model_copy(update={"lease_s": 30}),
    }
    hurried.ctx.settings = hurried.ctx.settings.model_copy(update=changed)
    return hurried


async def stopped_after(product: Product, texts: int) -> Process:
    """A worker that is stopped when so many of its texts have left: nothing moves, however slow web is."""
    worker = product.worker({"send.after_one": f"stop@{texts}"})
    await worker.wait_until_stopped(within=40)
    return worker


async def post(product: Product, name: str, key: str, *, severity: str = "P1", **more: Any) -> None:
    """An update of the incident of that name."""
    incident = {"external_id": name, "severity": severity}
    said = body(product.ctx, incident=incident, **more)
    answer = await product.post("/v1/updates", said, key=key)
    assert answer.status == 202, answer


async def resolve(product: Product, incident: str) -> None:
    """The all-clear of an incident."""
    await post(
        product, incident, f"{incident}-ends", status="resolved", facts={"next_update_by": None}
    )


async def sequence(product: Product) -> dict[tuple[int, int], list[int]]:
    """By channel and endpoint, which updates were accepted, in that order."""
    found: dict[tuple[int, int], list[int]] = defaultdict(list)
    for row in await product.providers.ledger():
        key = product.key_of(row)
        found[(key.channel, key.endpoint)].append(key.update)
    return found


async def accepted_of(product: Product, update_id: int) -> int:
    rows = await product.providers.ledger()
    return sum(product.key_of(row).update == update_id for row in rows)


@pytest.mark.fault(39)
async def test_two_updates_of_one_incident_at_once_leave_nobody_with_the_older_one_last(
    hurried: Product,
) -> None:
    await crowd(hurried.ctx, mails=6, texts=6)
    await hurried.start_web()
    await hurried.start_workers(2)
    incidents = [f"INC-{number}" for number in range(6)]
    await asyncio.gather(
        *(
            post(hurried, incident, f"{incident}-{status}", status=status, facts={"impact": status})
            for incident in incidents
            for status in ("investigating", "identified")
        )
    )
    await hurried.settle()
    of_incident = {
        row["id"]: row["incident_id"]
        for row in await hurried.ctx.pool.fetch("select id, incident_id from incident_update")
    }
    assert len(of_incident) == 2 * len(incidents)
    newest = {incident: update for update, incident in sorted(of_incident.items())}
    received = await sequence(hurried)
    assert len(received) == 12
    for updates in received.values():
        assert len(updates) == len(set(updates))
        for incident, last in newest.items():
            seen = [update for update in updates if of_incident[update] == incident]
            assert seen == sorted(seen)
            assert seen[-1] == last
    assert (await hurried.differences()).total == 0


@pytest.mark.fault(40)
async def test_who_was_told_of_trouble_is_told_of_its_end_and_nobody_else_wherever_it_came(
    slow: Product,
) -> None:
    await crowd(slow.ctx, texts=TEXTS)
    await slow.start_web()
    for share in (0.1, 0.5, 0.9):
        incident = f"INC-{share}"
        await post(slow, incident, incident)
        worker = await stopped_after(slow, round(share * TEXTS))
        await resolve(slow, incident)
        worker.send(signal.SIGCONT)
        await slow.settle()
        worker.send(signal.SIGTERM)
    updates = [
        row["id"] for row in await slow.ctx.pool.fetch("select id from incident_update order by id")
    ]
    received = await sequence(slow)
    told = {update: {key for key, seen in received.items() if update in seen} for update in updates}
    for trouble, end in zip(updates[::2], updates[1::2], strict=True):
        assert told[trouble] == told[end]
        assert all(
            seen.index(trouble) < seen.index(end) for seen in received.values() if end in seen
        )
    assert len(told[updates[0]]) < TEXTS, "the first one was over before it was resolved"
    assert all(len(seen) == len(set(seen)) for seen in received.values())
    assert (await slow.differences()).total == 0


@pytest.mark.fault(41)
async def test_no_intent_follows_an_opt_out_a_suppression_a_new_number_or_an_erasure(
    slow: Product,
) -> None:
    await crowd(slow.ctx, texts=TEXTS)
    await slow.start_web()
    await slow.announce()
    worker = await stopped_after(slow, 3)
    endpoints = await slow.ctx.pool.fetch(ENDPOINTS_SQL)
    done: dict[int, datetime] = {}

    async def change(endpoint: int, number: int, kind: Change) -> None:
        await kind(slow, by_text(number))
        done[endpoint] = await slow.ctx.pool.fetchval("select clock_timestamp()")

    # The last ones are the likeliest to be still there.
    kinds = (stop, suppress, move, erase) * 2
    changes = zip(endpoints, kinds, strict=True)
    await asyncio.gather(
        *(change(row["endpoint_id"], row["number"], kind) for row, kind in changes)
    )
    worker.send(signal.SIGCONT)
    await slow.settle()
    intents = {
        row["endpoint_id"]: row["intent_at"] for row in await slow.ctx.pool.fetch(INTENTS_SQL)
    }
    told = await slow.acceptances()
    for endpoint, moment in done.items():
        was_told = any(endpoint == one for _, _, one in told)
        assert was_told == (endpoint in intents)
        assert not was_told or intents[endpoint] < moment
    spared = await slow.count("delivery where channel = 2 and state in (6, 8) and endpoint_id > 0")
    assert spared >= 2
    # A text whose intent was there before its person answered STOP: their provider does not take it any more.
    refused = await slow.ctx.pool.fetch(REFUSED_SQL)
    assert {REASONS[row["reason"]].code for row in refused} <= {"opted_out"}
    stopped = {
        row["endpoint_id"] for row, kind in zip(endpoints, kinds, strict=True) if kind is stop
    }
    assert {row["endpoint_id"] for row in refused} <= stopped
    assert (len(told), set(told.values())) == (TEXTS - spared - len(refused), {1})
    assert (await slow.differences()).total == 0


ENDPOINTS_SQL = """
select ce.endpoint_id, substr(c.external_id, 2)::int - 1000 as number
from contact_endpoint ce join contact c on c.id = ce.contact_id
where ce.channel = 2 order by ce.endpoint_id desc limit 8
"""
REFUSED_SQL = "select endpoint_id, reason from delivery where channel = 2 and state = 2"
INTENTS_SQL = """
select d.endpoint_id, s.intent_at from delivery d join slice s on s.id = d.slice_id
where d.channel = 2 and d.state in (0, 1) and s.intent_at is not null
"""


async def stop(product: Product, person: ContactIn) -> None:
    """They answer STOP; the provider hears of it once web has obeyed."""
    said = {"from": person.phone, "to": product.ctx.settings.senders.sms, "body": "STOP"}
    url = f"{product.providers.url}/sandbox/inbound"
    async with product.http.post(url, json=said) as answer:
        assert (await answer.json())["webhook_status"] in {200, 204}


async def suppress(product: Product, person: ContactIn) -> None:
    listed = {"channel": "sms", "address": person.phone}
    assert (await product.post("/v1/suppressions", listed)).status == 201


async def move(product: Product, person: ContactIn) -> None:
    """They have no such number any more."""
    record = {"account": person.account, "name": person.name, "phone": ""}
    path = f"/v1/contacts/{person.external_id}"
    assert (await product.call("PUT", path, record)).status == 200


async def erase(product: Product, person: ContactIn) -> None:
    path = f"/v1/contacts/{person.external_id}"
    assert (await product.call("DELETE", path)).status == 200


@pytest.mark.fault(45)
async def test_after_an_outage_of_ours_the_urgent_and_the_newest_leave_first_and_nothing_stale(
    slow: Product,
) -> None:
    await crowd(slow.ctx, texts=A_SLICE)
    await slow.start_web()
    for key, incident, more in (
        ("stale", "INC-1", {}),
        ("replaced", "INC-2", {}),
        ("old", "INC-3", {}),
        ("newer", "INC-4", {}),
        ("replacing", "INC-2", {"status": "identified", "facts": {"impact": "All of it."}}),
        ("urgent", "INC-5", {"severity": "P0"}),
    ):
        await post(slow, incident, key, **more)
    number = {
        name: row["id"]
        for name, row in zip(
            ("stale", "replaced", "old", "newer", "replacing", "urgent"),
            await slow.ctx.pool.fetch("select id from incident_update order by id"),
            strict=True,
        )
    }
    # The first one has waited for longer than anybody cares to hear of it.
    await slow.ctx.pool.execute(
        "update dispatch set created_at = created_at - interval '9 hours' where update_id = $1",
        number["stale"],
    )
    # Meanwhile nothing leaves: what is planned first would otherwise have a start over what is newer.
    await slow.ctx.pool.execute("update sender set paused_until = now() + interval '1 hour'")
    workers = await slow.start_workers(1)

    async def all_planned() -> bool:
        return await slow.count("incident_update where state = 'planned'") == len(number)

    await until(all_planned, within=30, what="all should be planned", watched=workers)
    await slow.ctx.pool.execute("update sender set paused_until = null")
    await slow.settle()
    order = [slow.key_of(row).update for row in await slow.providers.ledger()]
    counts = {name: order.count(update) for name, update in number.items()}
    assert counts == {
        "stale": 0,
        "replaced": 0,
        "old": A_SLICE,
        "newer": A_SLICE,
        "replacing": A_SLICE,
        "urgent": A_SLICE,
    }
    names = ["urgent", "replacing", "newer", "old"]
    slices = {
        row["update_id"]: row
        for row in await slow.ctx.pool.fetch(
            "select update_id, epoch, start_at from slice where intent_at is not null"
        )
    }
    left = sorted(names, key=lambda name: order.index(number[name]))
    assert left == sorted(names, key=lambda name: slices[number[name]]["start_at"])
    # Which a busy worker claimed too late gave its moment up, and got the next free one.
    punctual = [name for name in names if slices[number[name]]["epoch"] == 1]
    assert len(punctual) > 1
    assert [name for name in left if name in punctual] == punctual
    statuses = await slow.statuses()
    assert (statuses["expired"], statuses["superseded"], statuses["delivered"]) == (
        A_SLICE,
        A_SLICE,
        4 * A_SLICE,
    )
    assert (await slow.differences()).total == 0
