"""Does the rate last? Ten thousand mails, a hundred thousand, a million; and beside old deliveries."""

from datetime import timedelta

from benchmarks.mail import WORKERS
from benchmarks.meter import Meter, size
from benchmarks.result import Aim, Row
from benchmarks.stand import Case, Process, Sizes, Stand, say, start_sink
from benchmarks.story import SPAN_SQL, accept_paused, go, until_planned, until_sent
from channels.model import ChannelKind
from dispatcher.cli.processes import Children

AIM_RATIO = 0.9
AGE = timedelta(days=40)
# Our own people are always told, and would be most of a small audience.
CUSTOMERS = ("enterprise", "smb")
OLD_UPDATE_SQL = """
with i as (
    insert into incident (source, external_id, visibility, severity, status, started_at, resolved_at)
    values ('old', $2, 'customers', 1, 'resolved', $3, $3) returning id
), u as (
    insert into incident_update (id, incident_id, seq, kind, status, severity, visibility, facts,
                                 facts_hash, mode, state, created_by, at)
    select update_id_at($3) + $4, i.id, 1, 'resolved', 'resolved', 1, 'customers', n.facts, n.facts_hash,
           'auto', 'planned', 'old', $3
    from i, incident_update n where n.id = $1 returning id, incident_id
)
insert into dispatch (update_id, incident_id, state, created_at, planned_at, completed_at)
select id, incident_id, 'completed', $3, $3, $3 from u
returning id, update_id, incident_id, nextval('slice_number') << 20 as first_slice
"""
OLD_DELIVERIES_SQL = """
insert into delivery (update_id, endpoint_id, account_id, slice_id, address_id, contact_version, sent_at,
                      done_at, evidence, channel, purpose, state)
select $1, i, (i - 1) / 10 + 1, $2::bigint + (i - 1) / 1000, i, i, $4, $4, 5, 1, 1, 1
from generate_series(1::bigint, $3::bigint) i
"""
OLD_SLICES_SQL = """
insert into slice (id, update_id, incident_id, dispatch_id, sender_id, channel, purpose, lane, state, epoch,
                   n, not_before, expires_at, intent_at, ended_at, endpoint_ids, n_by_status)
select $2::bigint + (i - 1) / 1000, $1, $5, $6, (select min(id) from sender where channel = 1), 1, 1, 1, 4,
       1, count(*), $4, $4, $4, $4, array_agg(i order by i),
       array[0, 0, 0, count(*), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]::int[]
from generate_series(1::bigint, $3::bigint) i group by (i - 1) / 1000
"""


async def run(stand: Stand, sizes: Sizes) -> list[Row]:
    """One population, one pair of workers; the audience narrows to a part of it."""
    n = sizes.of(1_000_000, least=2000)
    async with Children(grace_s=5) as children:
        sink = await start_sink(children, stand.folder)
        async with stand.case(n, channels=[ChannelKind.EMAIL], sink=sink) as case:
            await case.start_workers(WORKERS)
            await _send(case, sink, 1, "hundredth", "warm-up")
            rows = [
                await _send(case, sink, 2 + place, component, "send only")
                for place, component in enumerate(("hundredth", "tenth", "all"))
            ]
            rows[2].aims.append(Aim("of the first", rows[2].product / rows[0].product, AIM_RATIO))
            for row in rows:
                row.bare, row.bare_what = rows[0].product, "the first"
            added = await _grow_old(case, n, sizes.of(sizes.old, least=n))
            later = await _send(case, sink, 9, "tenth", f"beside {added:,} old ones")
            later.bare, later.bare_what = rows[1].product, "without"
            later.aims.append(Aim("of without", later.product / rows[1].product, AIM_RATIO))
    return [*rows, later]


async def _send(case: Case, sink: Process, number: int, component: str, name: str) -> Row:
    before = await size(case.conn)
    accepted = await accept_paused(case, number, component=component, segments=CUSTOMERS)
    await until_planned(case, accepted)
    await case.conn.execute("checkpoint")
    meter = Meter(case.postmaster, [one.pid for one in case.workers], [sink.pid]).start()
    began = case.ctx.now()
    await go(case, accepted)
    await until_sent(case, accepted)
    meter.stop()
    span = await case.conn.fetchrow(SPAN_SQL, accepted.dispatch_id)
    assert span is not None
    seconds = (span["last_at"] - began).total_seconds()
    row = Row(
        bench="growth",
        case=f"{span['n']:,} {name}",
        unit="/s",
        product=span["n"] / seconds,
        n=span["n"],
        seconds=seconds,
        db_bytes=(await size(case.conn) - before) / span["planned"],
        costs=meter.costs(span["n"]),
    )
    say(f"growth {row.case}: {seconds:.2f} s = {row.product:,.0f}/s")
    return row


async def _grow_old(case: Case, n: int, wanted: int) -> int:
    """Whole old updates to everybody, a month and more ago, until there are about as many as wanted."""
    conn, at = case.conn, case.ctx.now() - AGE
    template = await conn.fetchval("select max(id) from incident_update")
    await conn.execute("set statement_timeout = 0")
    await conn.execute("select ensure_delivery_partition($1)", at)
    meter = Meter(case.postmaster).start()
    count = max(1, wanted // n)
    for number in range(count):
        made = await conn.fetchrow(OLD_UPDATE_SQL, template, f"OLD-{number}", at, number)
        assert made is not None
        update, first = made["update_id"], made["first_slice"]
        await conn.execute(OLD_DELIVERIES_SQL, update, first, n, at)
        await conn.execute(OLD_SLICES_SQL, update, first, n, at, made["incident_id"], made["id"])
    await conn.execute("analyze delivery")
    await conn.execute("checkpoint")
    say(f"growth: {count * n:,} old deliveries made in {meter.stop().seconds:.0f} s")
    return count * n
