"""No statement of the program reads a big table as a whole, but for a few that say why.

Every statement is planned for values it does not know, as PostgreSQL plans it after the fifth time, over
an installation big enough that to read it all would be the dearer way wherever an index fits.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import asyncpg
import pytest

from dispatcher.db import Connection
from dispatcher.web.walls import ENTER_SQL
from tests.house.test_sql import STATEMENTS, makes_temporary_tables
from tests.scale.population import populate

READ_WHOLE: Final = {
    "dispatcher.clocks.sweep.RECEIPTS_SQL": "what waits there is all to be taken, oldest first",
    "dispatcher.clocks.reconcile.UNREAD_SQL": "asks whether anything waits, and stops at the first",
    "dispatcher.stages.plan.bounds.LAST_CONTACT_SQL": "the last entry of the index, not all of it",
    "dispatcher.stages.report.accounts.STORE_SQL": "an update may concern every account",
    "dispatcher.stages.report.accounts.UNLIKE_SQL": "tidings verify compares everything",
    "dispatcher.stages.report.recount.RECOUNT_SQL": "tidings verify counts everything anew",
    "dispatcher.stages.report.recount.MISCOUNTED_SQL": "tidings verify counts everything anew",
    "dispatcher.stages.report.verify.COMPARED_SQL": "tidings verify compares everything",
    "dispatcher.stages.report.verify.POSTS_SQL": "tidings verify compares everything",
    "dispatcher.stages.track.stage.TAKE_SQL": "takes the oldest that wait, by the end of the index",
    "dispatcher.web.customer_views.COMPONENT_SQL": "one account of those that use it, if any",
    "dispatcher.watch.facts.SMALL_SQL": "what waits there is seconds old",
    "dispatcher.web.overview.SEGMENTS_SQL": "counts accounts by segment; a page an operator opens",
    "segments.audience._COUNT_SQL": "counts everybody",
    "segments.dialled._DIALLED_SQL": "counts everybody who gets a text",
}
_MANY_ROWS: Final = 1000
UNHASHED: Final = re.compile(r"\(ANY \([^()]+ = \(SubPlan")


@pytest.fixture
async def big(conn: Connection) -> Connection:
    await populate(conn)
    await conn.execute("set plan_cache_mode = force_generic_plan")
    return conn


@pytest.mark.timeout(120)  # a big installation takes some seconds to make
async def test_no_statement_reads_a_big_table_as_a_whole(big: Connection) -> None:
    async with big.transaction():
        for script in filter(makes_temporary_tables, STATEMENTS.values()):
            await big.execute(script)
        guilty = await _guilty(big)
    found = {name: what for name, what in guilty.items() if what and name not in READ_WHOLE}
    assert found == {}
    # The oldest version we support skips through fewer indexes than the newest.
    assert set(READ_WHOLE) <= set(guilty)
    # Behind the wall of account managers the policies are part of each plan.
    async with big.transaction():
        await big.execute(ENTER_SQL, 1)
        walled = await _guilty(big)
    assert {name for name, sql in STATEMENTS.items() if "own_accounts()" in sql} <= set(walled)
    found = {name: what for name, what in walled.items() if what and name not in READ_WHOLE}
    assert found == {}


async def _guilty(conn: Connection) -> dict[str, list[str]]:
    """What each statement reads as a whole, of all that may be run at all."""
    tables = {
        row["name"]
        for row in await conn.fetch(
            """select relname as name from pg_class
               where relkind = 'r' and reltuples > $1 and relnamespace = 'public'::regnamespace""",
            _MANY_ROWS,
        )
    }
    assert {"slice", "account", "contact", "contact_endpoint"} < tables
    assert any(name.startswith("delivery_") for name in tables)
    # An index of a part of the rows, such as what is held, may be read from end to end.
    parts = {
        row["name"]
        for row in await conn.fetch(
            "select indexrelid::regclass::text as name from pg_index where indpred is not null"
        )
    }
    guilty = {}
    # What one module imports from another is planned once.
    once = {sql: name for name, sql in reversed(STATEMENTS.items())}
    for number, (sql, name) in enumerate(once.items()):
        if plan := await _plan(conn, number, sql):
            guilty[name] = sorted(set(_read_whole(plan, tables)) - parts)
            # A set compared row by row, and not as a hash, would be asked for once per row.
            assert not UNHASHED.search(str(plan)), name
    return guilty


async def _plan(conn: Connection, number: int, sql: str) -> dict[str, Any] | None:
    """None for what is no query, such as settings, and for what may not be run."""
    try:
        async with conn.transaction():
            await conn.execute(f"prepare q{number} as {sql}")
            count = await conn.fetchval(
                "select cardinality(parameter_types) from pg_prepared_statements where name = $1",
                f"q{number}",
            )
            values = f"({', '.join(['null'] * count)})" if count else ""
            (explained,) = await conn.fetchval(f"explain (format json) execute q{number}{values}")
            await conn.execute(f"deallocate q{number}")
    except (
        asyncpg.PostgresSyntaxError,
        asyncpg.InsufficientPrivilegeError,
        asyncpg.UndefinedTableError,
    ):
        return None
    plan: dict[str, Any] = explained["Plan"]
    return plan


def _read_whole(plan: dict[str, Any], tables: set[str]) -> Iterator[str]:
    if plan.get("Relation Name") in tables:
        if plan["Node Type"] == "Seq Scan":
            yield str(plan["Relation Name"])
        elif plan["Node Type"].startswith("Index") and "Index Cond" not in plan:
            yield str(plan["Index Name"])
    for part in plan.get("Plans", ()):
        yield from _read_whole(part, tables)
