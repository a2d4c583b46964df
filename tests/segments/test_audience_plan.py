"""How PostgreSQL reads an audience: by indexes, however many contacts there are."""

import json
from typing import Any

from segments.audience import AUDIENCE_SQL
from segments.model import Db
from tests.segments.builders import (
    NOW,
    account,
    component_ids,
    contact,
    put_accounts,
    put_components,
    put_contacts,
    query,
)


async def test_a_range_is_read_by_indexes_and_no_table_as_a_whole(conn: Db) -> None:
    await put_components(conn, "checkout")
    usage = [{"component": "checkout"}]
    await put_accounts(conn, *(account(f"a{n}", usage=usage) for n in range(2000)))
    no = [{"channel": "email", "wanted": False}]
    await put_contacts(
        conn,
        *(
            contact(f"p{n}", f"a{n // 3}", email=f"p{n}@example.com", subscriptions=no)
            for n in range(6000)
        ),
    )
    await conn.execute("analyze")
    ids = await component_ids(conn, ["checkout"])
    params = query(component_ids=tuple(ids.values())).params(3000, 3100, NOW, [])

    plan = await conn.fetchval(f"explain (format json) {AUDIENCE_SQL}", *params)

    text = plan if isinstance(plan, str) else json.dumps(plan)
    scanned = [
        node["Relation Name"]
        for node in _nodes(json.loads(text))
        if node["Node Type"] == "Seq Scan"
    ]
    assert not {"contact", "account", "usage", "contact_endpoint", "address", "subscription"} & {
        *scanned
    }


def _nodes(plan: Any) -> list[dict[str, Any]]:
    if isinstance(plan, list):
        return [node for part in plan for node in _nodes(part)]
    if "Plan" in plan:
        return _nodes(plan["Plan"])
    return [plan, *_nodes(plan.get("Plans", []))]
