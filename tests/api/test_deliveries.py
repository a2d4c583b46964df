"""Who was not told, and why: the deliveries of a dispatch, narrowed, page by page."""

import random
from itertools import combinations
from typing import Any

import pytest

from channels.model import ChannelKind, Fact
from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.rules.states import (
    SHOWN_STATUS,
    DeliveryState,
    SliceState,
    bit,
    next_attempt,
    shown,
)
from tests.api.test_lists import walked
from tests.flow.story import contact, plan_out, post, seed, update
from tests.web.client import Api

NARROWED: list[dict[str, str]] = [
    {"status": "queued"},
    {"status": "unreachable"},
    {"status": "accepted,suppressed"},
    {"status": "failed"},
    {"reason": "no_address"},
    {"reason": "no_address,suppressed"},
    {"account": "big"},
    {"contact": "c3"},
    {"segment": "smb"},
    {"segment": "public"},
    {"channel": "sms"},
]


@pytest.fixture
async def dispatch(ctx: Context, api: Api) -> str:
    """The path of a dispatch to seven people of three accounts, of whom some cannot be told."""
    await seed(
        ctx,
        [
            *(contact(n, "small") for n in range(3)),
            contact(3, "small", phone="", sms_consent=None),
            *(contact(n, "big") for n in (4, 5)),
            contact(6, "other", app_user=""),
        ],
        tiers={"big": "enterprise"},
    )
    address = {"channel": "email", "address": "person4@example.com"}
    assert (await api.call("POST", "/v1/suppressions", address)).status == 201
    accepted = await post(ctx, update(ctx, incident={"visibility": "public"}))
    await plan_out(ctx, accepted)
    return f"/v1/dispatches/{ctx.signer.public_id('dsp', accepted.dispatch_id or 0)}"


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["channel"], row["account"], row["contact"], row["purpose"]


async def test_every_filter_and_every_pair_of_them_leaves_what_is_so_and_nothing_else(
    api: Api, dispatch: str
) -> None:
    rows = await walked(api, f"{dispatch}/deliveries")
    counted = (await api.get(dispatch)).json["deliveries"]
    assert counted.keys() == {"queued", "accepted", "unreachable", "suppressed"}
    assert sum(counted.values()) == len(rows) == len({key(row) for row in rows})
    # In the order of the channels' codes, and that is what a cursor counts on.
    assert [row["channel"] for row in rows] == sorted(
        (row["channel"] for row in rows), key=lambda name: ChannelKind(name).code
    )
    for chosen in [*NARROWED, *({**one, **two} for one, two in combinations(NARROWED, 2))]:
        query = "&".join(f"{name}={value}" for name, value in chosen.items())
        expected = [
            key(row)
            for row in rows
            if all(row[name] in value.split(",") for name, value in chosen.items())
        ]
        found = await walked(api, f"{dispatch}/deliveries?{query}")
        assert [key(row) for row in found] == expected, query
        assert found or len(chosen) > 1 or chosen == {"status": "failed"}, query
    for status, count in counted.items():
        found = (await api.get(f"{dispatch}/deliveries?limit=200&status={status}")).json["data"]
        assert len(found) == count

    assert (await api.call("POST", f"{dispatch}/cancel")).status == 200
    gone = await walked(api, f"{dispatch}/deliveries?status=cancelled&reason=cancelled")
    assert len(gone) == counted["queued"] + counted["accepted"]


async def test_the_status_that_statements_choose_by_is_the_one_that_is_shown(
    conn: Connection,
) -> None:
    rng = random.Random(7)
    rows = []
    for state in DeliveryState:
        for place in SliceState:
            for _ in range(400):
                earlier, current = (
                    sum(bit(fact) for fact in rng.sample(list(Fact), rng.choice((0, 1, 2, 3, 8))))
                    for _ in range(2)
                )
                rows.append((state, place, rng.choice((1, 2)), next_attempt(earlier) | current))
    columns = [list(column) for column in zip(*rows, strict=True)]
    found = await conn.fetch(
        f"""select {SHOWN_STATUS} as code
            from unnest($1::smallint[], $2::smallint[], $3::smallint[], $4::int[]) with ordinality
                     as u(state, place, attempt, evidence, n),
                 lateral (select u.state, u.attempt, u.evidence) d, lateral (select u.place as state) s
            order by n""",
        *columns,
    )
    assert [row["code"] for row in found] == [shown(*row) for row in rows]


async def test_a_name_or_a_word_nobody_knows_is_no_empty_list(api: Api, dispatch: str) -> None:
    path = f"{dispatch}/deliveries"
    assert (await api.get(f"{path}?account=nobody")).status == 404
    assert (await api.get(f"{path}?contact=nobody")).status == 404
    for name in ("status", "reason"):
        for value in ("lost", "", "queued,", "failed,lost"):
            answer = await api.get(f"{path}?{name}={value}")
            assert (answer.status, answer.kind) == (400, "invalid-query")
            assert {item["pointer"] for item in answer.json["errors"]} == {f"?{name}"}
