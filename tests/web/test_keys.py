"""API keys: shown once, stored as a hash, ended at once."""

from datetime import timedelta

import pytest

from dispatcher.context import Context
from dispatcher.web.keys import create_key, list_keys, revoke_key
from dispatcher.web.routes import ROUTES
from dispatcher.web.scopes import Scope
from tests.flow.story import MovableClock
from tests.web.client import Api, key_with


async def test_the_database_never_holds_the_secret(ctx: Context) -> None:
    async with ctx.pool.acquire() as conn:
        made = await create_key(conn, name="ci", scopes=[Scope.ADMIN], now=ctx.now())
        secret = made.text.rpartition("_")[2]
        (row,) = await conn.fetch("select * from api_key")
        assert secret not in str(dict(row))
        assert bytes.fromhex(secret) not in row["secret_hash"]
        assert secret not in repr(made)


async def test_a_revoked_key_is_refused_at_once_and_says_so(anonymous: Api, ctx: Context) -> None:
    key = await key_with(ctx, Scope.INCIDENTS_READ)
    caller = anonymous.bearing(key)
    assert (await caller.get("/v1/incidents")).status == 200
    async with ctx.pool.acquire() as conn:
        assert await revoke_key(conn, key.split("_")[2], now=ctx.now())
        assert not await revoke_key(conn, key.split("_")[2], now=ctx.now())
    answer = await caller.get("/v1/incidents")
    assert (answer.status, answer.kind) == (401, "key-revoked")


async def test_a_key_expires(anonymous: Api, ctx: Context, clock: MovableClock) -> None:
    async with ctx.pool.acquire() as conn:
        made = await create_key(
            conn,
            name="short",
            scopes=[Scope.INCIDENTS_READ],
            now=ctx.now(),
            expires_at=ctx.now() + timedelta(hours=1),
        )
    caller = anonymous.bearing(made.text)
    assert (await caller.get("/v1/incidents")).status == 200
    clock.move(timedelta(hours=1))
    answer = await caller.get("/v1/incidents")
    assert (answer.status, answer.kind) == (401, "key-expired")


async def test_who_guesses_the_secret_of_a_revoked_key_does_not_learn_that_it_was_one(
    anonymous: Api, ctx: Context
) -> None:
    key_id = (await key_with(ctx, Scope.ADMIN)).split("_")[2]
    async with ctx.pool.acquire() as conn:
        await revoke_key(conn, key_id, now=ctx.now())
    answer = await anonymous.bearing(f"tidings_live_{key_id}_{'0' * 64}").get("/v1/incidents")
    assert answer.kind == "key-unknown"


async def test_use_is_noted_once_a_minute(
    anonymous: Api, ctx: Context, clock: MovableClock
) -> None:
    caller = anonymous.bearing(await key_with(ctx, Scope.INCIDENTS_READ))
    began = ctx.now()
    for _ in range(3):
        await caller.get("/v1/incidents")
        clock.move(timedelta(seconds=25))
    async with ctx.pool.acquire() as conn:
        (stored,) = await list_keys(conn)
        assert stored.last_used_at == began
        await caller.get("/v1/incidents")
        (stored,) = await list_keys(conn)
        assert stored.last_used_at == began + timedelta(seconds=75)


@pytest.mark.parametrize("scope", [scope for scope in Scope if scope is not Scope.ADMIN])
async def test_a_key_opens_the_doors_of_its_scopes_and_no_other(
    anonymous: Api, ctx: Context, scope: Scope
) -> None:
    caller = anonymous.bearing(await key_with(ctx, scope))
    for route in ROUTES:
        if isinstance(route.guard, Scope):
            path = route.path.replace("{", "").replace("}", "")
            answer = await caller.call(route.method, path)
            assert (answer.status == 403) == (route.guard is not scope), route.operation


async def test_a_key_needs_scopes_and_a_future(ctx: Context) -> None:
    async with ctx.pool.acquire() as conn:
        with pytest.raises(ValueError, match="at least one scope"):
            await create_key(conn, name="x", scopes=[], now=ctx.now())
        with pytest.raises(ValueError, match="already have expired"):
            await create_key(
                conn, name="x", scopes=[Scope.ADMIN], now=ctx.now(), expires_at=ctx.now()
            )
