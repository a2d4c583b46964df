"""Faults 36 and 37: what breaks whoever touches it harms nobody beside it, and stops where people see it."""

import pytest

from dispatcher.rules.reasons import Decision
from dispatcher.rules.states import DeliveryState, SliceState
from dispatcher.stages.send.claim import MAX_RECLAIMS
from tests.chaos.harness import Product
from tests.chaos.people import body, crowd
from tests.chaos.processes import until
from tests.profiles import HURRIED

pytestmark = pytest.mark.timeout(120)

# The time of the next update is said in the reader's own zone, and this is no time: a wording over which the
# filling in breaks, for one person only.
SPOIL_SQL = """
create function spoil() returns trigger language plpgsql as $$
begin
    new.slots := (select coalesce(jsonb_agg(case when slot ->> 'name' = 'local_time'
                                                 then slot || '{"argument": "soon"}' else slot end), '[]')
                  from jsonb_array_elements(new.slots) as slot);
    return new;
end $$;
create trigger spoil before insert on rendering for each row execute function spoil();
update contact set time_zone = 'Europe/Berlin' where id = (select min(id) from contact);
"""


@pytest.mark.fault(36)
async def test_a_person_for_whom_no_message_can_be_made_is_failed_alone(product: Product) -> None:
    await crowd(product.ctx, mails=6, texts=4)
    await product.ctx.pool.execute(SPOIL_SQL)
    await product.start_web()
    await product.start_workers(1)
    await product.announce()
    await product.settle()
    told = await product.acceptances()
    assert (len(told), set(told.values())) == (9, {1})
    assert await product.statuses() == {"delivered": 9, "failed": 1}
    why = (
        f"delivery where reason = {Decision.NOT_FILLED_IN:d} and state = {DeliveryState.REJECTED:d}"
    )
    assert await product.count(why) == 1
    assert (await product.differences()).total == 0


@pytest.mark.fault(36)
async def test_an_update_that_breaks_whoever_words_it_fails_visibly_and_the_next_one_goes_out(
    product: Product,
) -> None:
    await crowd(product.ctx, mails=4)
    await product.start_web()
    breaking = product.worker({"compose.before_commit": "fail@1"})
    await product.announce()

    async def failed() -> bool:
        return await product.count("incident_update where state = 'failed'") == 1

    await until(failed, within=20, what="the update should fail", watched=[breaking])
    why = await product.ctx.pool.fetchval("select state_detail from incident_update")
    assert why == "this program failed to word it (BrokenHereError): see the log, and report it"
    posted = body(product.ctx, incident={"external_id": "INC-43"})
    assert (await product.post("/v1/updates", posted, key="alert-2")).status == 202

    async def told() -> bool:
        return len(await product.providers.ledger()) == 4

    await until(told, within=20, what="the other update should leave", watched=[breaking])
    assert await product.count("incident_update where state = 'failed'") == 1


@pytest.mark.fault(37)
async def test_a_slice_that_kills_three_workers_is_quarantined_and_the_others_go_on(
    product: Product,
) -> None:
    product.ctx.settings = product.ctx.settings.model_copy(update={"worker": HURRIED})
    await crowd(product.ctx, texts=4)
    await product.start_web()
    await product.announce()
    held = f"slice where state = {SliceState.HELD:d}"
    for _ in range(MAX_RECLAIMS):
        assert await product.count(held) == 0
        victim = product.worker({"send.after_claim": "exit"})
        assert await victim.wait(within=30) == 70
    workers = await product.start_workers(2)

    async def quarantined() -> bool:
        return await product.count(held) == 1

    await until(quarantined, within=20, what="the slice should be held", watched=workers)
    assert await product.providers.ledger() == []
    posted = body(product.ctx, incident={"external_id": "INC-43"})
    assert (await product.post("/v1/updates", posted, key="alert-2")).status == 202

    async def told() -> bool:
        return len(await product.providers.ledger()) == 4

    await until(told, within=20, what="the other update should leave", watched=workers)
    told_once = await product.acceptances()
    assert set(told_once.values()) == {1}
    assert await product.count(held) == 1
