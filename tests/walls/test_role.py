"""The role behind which account managers read: who makes it, and what happens where nobody may."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from pydantic import SecretStr

from dispatcher.cli.finding import Finding, Mark
from dispatcher.cli.walls import ownership, wall
from dispatcher.config import DatabaseSettings
from dispatcher.db import Connection, Pool, migrate, open_pool
from dispatcher.web.answers import WebRefusedError
from dispatcher.web.walls import behind_wall

ROLE_SQL = "select walled_role()"
MANAGER_SQL = """
insert into users (email, name, role, created_at, updated_at)
values ('mia@example.com', 'Mia', 'account_manager', now(), now())
"""


@pytest.fixture
async def admin(cluster: str) -> AsyncIterator[Connection]:
    """Whoever runs the server, with a plain owner of databases beside them."""
    conn = await asyncpg.connect(cluster, database="postgres")
    await conn.execute(f"create role {_owner()} login")
    yield conn
    await conn.execute(f"drop role {_owner()}")
    await conn.close()


def _owner() -> str:
    return f"plain_{os.getpid()}"


def _dsn(cluster: str, name: str, role: str) -> str:
    database = f"/{name}_{os.getpid()}?"
    return cluster.replace("/tidings?", database).replace("tidings@", f"{role}@")


@asynccontextmanager
async def _installation(admin: Connection, cluster: str, name: str) -> AsyncIterator[Pool]:
    """A database of the plain owner, migrated by them."""
    database = f"{name}_{os.getpid()}"
    await admin.execute(f"create database {database} owner {_owner()} template template0")
    dsn = _dsn(cluster, name, _owner())
    try:
        pool = await open_pool(dsn, DatabaseSettings(url=SecretStr(dsn), pool_max=1), size=(1, 1))
        try:
            yield pool
        finally:
            await pool.close()
    finally:
        await admin.execute(f"drop database {database} with (force)")


async def _looked_at(pool: Pool) -> Finding:
    async with pool.acquire() as conn:
        await migrate(conn)
        return await wall(conn)


async def _is_served(pool: Pool) -> bool:
    async with pool.acquire() as conn:
        try:
            async with behind_wall(conn, 1):
                await conn.fetch("select * from account")
        except WebRefusedError as refused:
            return (refused.status, refused.kind) != (503, "wall-missing")
        return True


async def test_without_the_wall_nobody_is_served_and_doctor_says_how_to_raise_it(
    admin: Connection, cluster: str
) -> None:
    async with _installation(admin, cluster, "refused") as pool:
        found = await _looked_at(pool)
        role = await pool.fetchval(ROLE_SQL)
        assert (found.mark, found.detail) == (Mark.NOTE, "the role is missing")
        await pool.execute(MANAGER_SQL)
        assert (await _looked_at(pool)).mark is Mark.WRONG
        assert not await _is_served(pool)
        # What doctor says, to the letter.
        first, second = found.mend.partition(": ")[2].split("; ")[:2]
        await admin.execute(first)
        assert "may not act as the role" in (await _looked_at(pool)).detail
        assert not await _is_served(pool)
        await admin.execute(second)
        assert (await _looked_at(pool)).mark is Mark.RIGHT
        assert await _is_served(pool)
        for more in ("alter role {} bypassrls", "alter role {} superuser", "alter role {} login"):
            await admin.execute(more.format(role))
            found = await _looked_at(pool)
            assert (found.mark, found.detail) == (Mark.WRONG, "the role may do more than it should")
            assert "login" in more or not await _is_served(pool)
            await _do_as_told(admin, found)
            assert (await _looked_at(pool)).mark is Mark.RIGHT
        for more in ("webhook_secret", "slice", "all tables in schema public"):
            await pool.execute(f"grant select on {more} to public")
            found = await _looked_at(pool)
            assert found.mark is Mark.WRONG
            assert "may read more than it should: " in found.detail
            await pool.execute(_told(found))
            assert (await _looked_at(pool)).mark is Mark.RIGHT
        assert await _is_served(pool)
        await admin.execute(f"grant pg_read_all_data to {role}")
        await _do_as_told(admin, await _looked_at(pool))
        assert (await _looked_at(pool)).mark is Mark.RIGHT
        assert await _is_served(pool)
    await admin.execute(f"drop role {role}")


async def test_doctor_finds_tables_that_are_not_ours_or_keep_no_policy(
    admin: Connection, cluster: str
) -> None:
    other = f"other_{_owner()}"
    async with _installation(admin, cluster, "owned") as pool, pool.acquire() as conn:
        await migrate(conn)
        assert (await ownership(conn)).mark is Mark.RIGHT
        beside = await asyncpg.connect(_dsn(cluster, "owned", "tidings"))
        await beside.execute(f"create role {other}")
        for what, said in (
            (f"alter table account owner to {other}", f"account: no tables of {_owner()}"),
            ("alter table export disable row level security", "export: policies that nothing"),
            ("alter table contact force row level security", "contact: bind "),
        ):
            await beside.execute(what)
            found = await ownership(conn)
            assert found.mark is Mark.WRONG
            assert said in found.detail
        await _do_as_told(beside, await ownership(conn))
        assert (await ownership(conn)).mark is Mark.RIGHT
        await beside.execute(f"drop role {other}")
        await beside.close()


async def _do_as_told(admin: Connection, found: Finding) -> None:
    await admin.execute(_told(found))


def _told(found: Finding) -> str:
    """To the letter, as far as it is said in SQL."""
    return found.mend.partition("As an administrator of the server: ")[2].partition("; then run")[0]


async def test_who_may_make_roles_makes_one_for_all_their_installations_at_once(
    admin: Connection, cluster: str
) -> None:
    await admin.execute(f"alter role {_owner()} createrole")
    async with (
        _installation(admin, cluster, "first") as one,
        _installation(admin, cluster, "second") as two,
    ):
        found = await asyncio.gather(_looked_at(one), _looked_at(two))
        assert [finding.mark for finding in found] == [Mark.RIGHT, Mark.RIGHT]
        assert await _is_served(one)
        assert await _is_served(two)
        role = await one.fetchval(ROLE_SQL)
    await admin.execute(f"drop role {role}")
