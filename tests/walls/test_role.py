"""The role behind which account managers read: who makes it, and what happens where nobody may."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from pydantic import SecretStr

from dispatcher.cli.doctor import Finding, Mark, wall
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


@asynccontextmanager
async def _installation(admin: Connection, cluster: str, name: str) -> AsyncIterator[Pool]:
    """A database of the plain owner, migrated by them."""
    database = f"{name}_{os.getpid()}"
    await admin.execute(f"create database {database} owner {_owner()} template template0")
    dsn = cluster.replace("/tidings?", f"/{database}?").replace("tidings@", f"{_owner()}@")
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
        for more, less in (
            (f"alter role {role} bypassrls", f"alter role {role} nobypassrls"),
            (f"alter role {role} superuser", f"alter role {role} nosuperuser"),
            (f"alter role {role} login", f"alter role {role} nologin"),
        ):
            await admin.execute(more)
            assert "more than it should" in (await _looked_at(pool)).detail
            assert "login" in more or not await _is_served(pool)
            await admin.execute(less)
        assert await _is_served(pool)
    await admin.execute(f"drop role {role}")


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
