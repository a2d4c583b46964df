"""What an account manager asks for today does not read all that their accounts were ever told."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from dispatcher.db import Connection
from dispatcher.web import dispatch_list, dispatches, incidents
from dispatcher.web.walls import ENTER_SQL

NAME_SQL = "select set_config('tidings.user', $1::bigint::text, true)"
OWN, OTHERS, UPDATES = 100, 400, 200
# One in a hundred updates concerns a single account, another's; all others went to everybody.
_HISTORY = (
    "set session_replication_role = replica",
    f"""insert into account (external_id, name, segment, segment_rule, manager_email, created_at, updated_at)
        select 'a' || i, 'A', 'smb', 'x', case when i > {OTHERS} then 'mia@example.com' else '' end,
               now(), now()
        from generate_series(1, {OWN} + {OTHERS}) i""",
    f"""insert into incident (source, external_id, visibility, severity, status, last_seq, last_update_id,
                              started_at)
        select 's', 'i' || i, 'accounts', 1, 'identified', 1, i, now() from generate_series(1, {UPDATES}) i""",
    """insert into incident_update (id, incident_id, seq, kind, status, severity, visibility, facts, facts_hash,
                                    mode, state, at, created_by)
       select last_update_id, id, 1, 'update', 'identified', 1, 'accounts', '{}', '', 'auto', 'planned', now(),
              'x' from incident""",
    """insert into dispatch (update_id, incident_id, state, created_at)
       select id, incident_id, 'sending', now() from incident_update order by id""",
    """insert into account_update (account_id, update_id, n, standing, sort_name)
       select a.id, u.id, 2, 3, 'a' from account a, incident_update u where u.id % 100 <> 0 or a.id = 1""",
    """insert into users (email, name, role, created_at, updated_at)
       values ('mia@example.com', 'Mia', 'account_manager', now(), now())""",
    "analyze",
    "set session_replication_role = origin",
)


@pytest.fixture
async def long_ago(conn: Connection) -> Connection:
    for step in _HISTORY:
        await conn.execute(step)
    return conn


async def test_who_has_many_accounts_reads_what_a_page_shows_and_not_their_history(
    long_ago: Connection,
) -> None:
    mia = await long_ago.fetchval("select id from users")
    asked: dict[str, tuple[object, ...]] = {
        incidents.OWN_LIST_SQL: _values(incidents.OWN_LIST_SQL, {3: 21}),
        dispatch_list.OWN_LIST_SQL: (None, 21),
        dispatches.OWN_DISPATCH_SQL: (UPDATES - 1,),
    }
    # Behind both walls, and behind that of the statements alone.
    for (sql, values), enter in product(asked.items(), (ENTER_SQL, NAME_SQL)):
        async with long_ago.transaction(readonly=True):
            await long_ago.execute(enter, mia)
            shown = await long_ago.fetch(sql, *values)
            (plan,) = await long_ago.fetchval(
                f"explain (analyze, timing off, format json) {sql}", *values
            )
        assert len(shown) in {1, 21}
        # The last update is another's alone; from each of the others it takes a row or two to know.
        assert sum(_read(plan["Plan"])) < 21 * 10 < OWN * UPDATES / 50


def _values(sql: str, given: dict[int, object]) -> tuple[object, ...]:
    """Null for each parameter but those that are given."""
    last = max(n for n in range(1, 30) if f"${n}" in sql)
    return tuple(given.get(n) for n in range(1, last + 1))


def _read(plan: dict[str, Any]) -> Iterator[float]:
    if plan.get("Relation Name") == "account_update":
        yield plan["Actual Loops"] * (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0))
    for part in plan.get("Plans", ()):
        yield from _read(part)
