"""An account manager reads nothing of other customers, with either wall alone; masks hold everywhere."""

from collections.abc import Collection

import asyncpg
import pytest

from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.web.walls import DECISIONS, Rule, behind_wall
from tests.intake.payloads import pagerduty
from tests.walls.story import (
    ABOUT_SOUTH,
    CUSTOMERS,
    DRAFTED,
    HIDDEN,
    INBOX,
    NORTH,
    NOTE,
    SOUTH,
    Customer,
    World,
)
from tests.walls.walk import leaks, look, read_in, walk
from tests.web.client import Api

ROLE_SQL = "update users set role = $1 where email = 'mia@example.com'"
USERS_SQL = "select id from users where email = $1"
# Everything is let through, and the walls of the statements stand alone.
OPEN_SECOND_WALL = """
do $$ declare what record; begin
    for what in select tablename from pg_policies where policyname = 'own' loop
        execute format('drop policy own on %I', what.tablename);
        execute format('create policy own on %I using (true)', what.tablename);
    end loop;
    for what in select tablename from pg_tables where schemaname = current_schema() loop
        execute format('grant select on %I to %I', what.tablename, walled_role());
    end loop;
end $$
"""


async def test_neither_wall_lets_anything_of_another_customer_through(world: World) -> None:
    everything = await walk(world.admin, world)
    managers = ((world.mia, "mia@example.com", NORTH), (world.tom, "tim@example.com", SOUTH))
    for _, email, own in managers:
        assert read_in(everything, world.foreign(own)) == world.foreign(own)
        await _second_wall_holds(world.ctx, email, own)
    for api, _, own in managers:
        await _first_wall_holds(world, api, own)
    async with world.ctx.pool.acquire() as conn:
        await conn.execute(OPEN_SECOND_WALL)
    for api, _, own in managers:
        await _first_wall_holds(world, api, own)


async def _first_wall_holds(world: World, api: Api, own: Customer) -> None:
    answers = await walk(api, world)
    assert leaks(answers, world.foreign(own)) == set()
    assert read_in(answers, own.strings) == own.strings
    assert {seen.operation for seen in answers if seen.status == 500} == set()
    for seen in answers:
        decision = DECISIONS.get(seen.operation)
        if decision and decision.rule is Rule.REFUSED:
            assert seen.status == 403, seen.path
    shown = {seen.operation for seen in answers if seen.status == 200}
    gets = {seen.operation for seen in answers}
    assert {
        name for name in gets & set(DECISIONS) if DECISIONS[name].rule is not Rule.REFUSED
    } <= shown
    for other in (one for one in CUSTOMERS if one is not own):
        path = f"/v1/dispatches/{world.everybody.dispatch}/deliveries"
        for asked in (f"account={other.id}", f"contact={next(iter(other.people))}"):
            assert (await api.get(f"{path}?{asked}")).status == 404
    totals = await look(api, "", f"/v1/dispatches/{world.everybody.dispatch}")
    assert f'"delivered":{len(own.people) * 2 - _covered(own)}' in totals.text


def _covered(own: Customer) -> int:
    """Whom a shared inbox of somebody else's covers: the message is theirs."""
    return sum(INBOX in person for person in own.people.values()) if own is SOUTH else 0


async def _second_wall_holds(ctx: Context, email: str, own: Customer) -> None:
    """As when each statement had forgotten its own wall."""
    async with ctx.pool.acquire() as conn:
        mine = {await conn.fetchval("select id from account where external_id = $1", own.id)}
        person = await conn.fetchval(USERS_SQL, email)
        readable = await conn.fetch("select place, names from walled_reads()")
        tables = await conn.fetch(
            "select tablename as name from pg_tables where schemaname = 'public'"
        )
        async with behind_wall(conn, person):
            assert await conn.fetchval("show transaction_read_only") == "on"
            found = {
                row["place"]: await conn.fetch(
                    f"select {', '.join(row['names'] or ['*'])} from {row['place']}"
                )
                for row in readable
            }
            await _nothing_else_can_be_read(conn, {row["name"] for row in tables} - set(found))
            await _nothing_can_be_written(conn, found)
    text = repr(found)
    assert not [name for one in CUSTOMERS if one is not own for name in one.strings if name in text]
    assert all(name in text for name in own.strings)
    assert (HIDDEN in text, NOTE in text, ABOUT_SOUTH in text) == (False, False, own is SOUTH)
    assert DRAFTED not in text
    inboxes = {row["endpoint_id"] for row in found["contact_endpoint"]}
    inboxes |= {-row["id"] for row in found["contact"]}
    updates = {row["update_id"] for row in found["account_update"]}
    assert {row["endpoint_id"] for row in (*found["delivery"], *found["receipt"])} <= inboxes
    assert {row["update_id"] for row in (*found["dispatch"], *found["slice"])} == updates
    for place in ("account_update", "contact", "export"):
        assert {row["account_id"] for row in found[place]} == mine


async def _nothing_else_can_be_read(conn: Connection, names: Collection[str]) -> None:
    """Above all not a partition of what can be read: the wall stands around the whole."""
    assert {"users", "api_key", "suppression", "audit"} < set(names)
    assert any(name.startswith("delivery_") for name in names)
    for name in names:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with conn.transaction():
                await conn.fetch(f"select * from {name}")


async def _nothing_can_be_written(conn: Connection, found: Collection[str]) -> None:
    for name in found:
        for statement in (
            f"delete from {name}",
            f"truncate {name}",
            f"insert into {name} default values",
        ):
            with pytest.raises(
                (asyncpg.ReadOnlySQLTransactionError, asyncpg.InsufficientPrivilegeError)
            ):
                async with conn.transaction():
                    await conn.execute(statement)


async def test_what_an_account_manager_asks_for_is_of_their_own_accounts(
    world: World, anonymous: Api
) -> None:
    base = f"/v1/dispatches/{world.everybody.dispatch}"
    person = next(iter(NORTH.people))
    for asked, own in (("account", NORTH.id), ("contact", person)):
        path = f"{base}/deliveries?status=delivered,displayed,accepted&{asked}="
        found = (await world.mia.get(f"{path}{own}")).json["data"]
        assert {row[asked] for row in found} == {own}
        assert (await world.mia.get(f"{path}nobody")).status == 404
    made = {}
    for path, body in ((f"{base}/exports", {"format": "csv"}), (f"{base}/links", {})):
        assert (await world.mia.call("POST", path, body)).kind == "own-accounts-only"
        foreign = await world.mia.call("POST", path, {**body, "account": SOUTH.id})
        unknown = await world.mia.call("POST", path, {**body, "account": "nobody"})
        assert (foreign.status, unknown.status) == (404, 404)
        assert foreign.json["detail"] == unknown.json["detail"]
        made = (await world.mia.call("POST", path, {**body, "account": NORTH.id})).json
    visitor = await _opened(anonymous, made["url"])
    page = f"/reports/{world.everybody.dispatch}/accounts/{NORTH.id}"
    shown = await look(visitor, "", page)
    assert shown.status == 200
    assert "Noreen Nordqvist" in shown.text
    assert not read_in([shown], world.foreign(NORTH))
    await world.ctx.pool.execute(ROLE_SQL, "viewer")
    assert "Noreen" not in (await look(visitor, "", page)).text
    await world.ctx.pool.execute(ROLE_SQL, "account_manager")
    await world.ctx.pool.execute(
        "update account set manager_email = '' where external_id = $1", NORTH.id
    )
    assert (await look(visitor, "", page)).status == 404
    assert (await world.mia.get(f"{base}/accounts/{NORTH.id}")).status == 404


async def _opened(anonymous: Api, url: str) -> Api:
    answer = await anonymous.get(url.removeprefix(anonymous.base))
    cookie = answer.headers["Set-Cookie"].partition(";")[0]
    return Api(anonymous.session, anonymous.base, {"Cookie": cookie})


async def test_personal_data_is_masked_wherever_the_right_to_read_it_is_missing(
    world: World, anonymous: Api
) -> None:
    personal = {part for one in CUSTOMERS for part in one.personal}
    path = f"/v1/dispatches/{world.everybody.dispatch}/links"
    link = await world.viewer.call("POST", path, {})
    account = await world.viewer.call("POST", path, {"account": NORTH.id})
    callers = [world.viewer, world.all_but_personal]
    callers += [await _opened(anonymous, made.json["url"]) for made in (link, account)]
    alert = pagerduty(title="checkout-db-7: call +12125559999 or write to duty@pager.example")
    sent = await world.sender.send(alert, world.ctx.now())
    assert sent.status == 202
    everything = await walk(world.admin, world)
    assert read_in(everything, personal) == personal
    kept = [seen for seen in everything if seen.operation in {"list_intake_events", "list_audit"}]
    assert {seen.status for seen in kept} == {200}
    assert leaks(kept, {*personal, "12125559999", "duty@pager.example"}) == set()
    expected = {"checkout-db-7", "report.link"}
    assert read_in(kept, expected) == expected
    for caller in callers:
        answers = await walk(caller, world)
        assert leaks(answers, personal) == set()
        assert read_in(answers, {NORTH.name}) == {NORTH.name}
