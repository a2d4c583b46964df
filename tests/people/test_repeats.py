"""Who repeats a request is known again, whatever became of their key meanwhile."""

from typing import Any

from dispatcher.context import Context
from dispatcher.rules.roles import Role
from dispatcher.web.scopes import Scope
from tests.flow.story import contact, seed, update
from tests.people.words import sign_in, somebody
from tests.web.client import Api, key_with


async def draft(ctx: Context) -> dict[str, Any]:
    await seed(ctx, [contact(1, "small")])
    body: dict[str, Any] = update(ctx, mode="draft").model_dump(mode="json", exclude_unset=True)
    return body


async def test_a_repeat_behind_a_key_that_was_rotated_meanwhile_makes_no_second_update(
    anonymous: Api, ctx: Context
) -> None:
    body = await draft(ctx)
    first = anonymous.bearing(await key_with(ctx, Scope.UPDATES_WRITE))
    made = await first.update(body)
    mine = (await first.get("/v1/me")).json["key_id"]
    keys = [first]
    for _ in range(2):
        rotated = await keys[-1].call("POST", f"/v1/keys/{mine}/rotate", {"overlap_hours": 1})
        mine = rotated.json["id"]
        keys.append(anonymous.bearing(rotated.json["key"]))
    for key in keys:
        again = await key.update(body)
        assert (again.headers["Idempotency-Replayed"], again.json) == ("true", made.json)
    other = anonymous.bearing(await key_with(ctx, Scope.UPDATES_WRITE))
    assert "Idempotency-Replayed" not in (await other.update(body)).headers
    assert (await keys[-1].update(body | {"status": "identified"})).kind == "idempotency-key-reused"


async def test_a_repeat_after_a_new_sign_in_makes_no_second_update(
    anonymous: Api, ctx: Context
) -> None:
    body = await draft(ctx)
    ada = await somebody(ctx, anonymous, Role.COMMS_LEAD)
    made = await ada.update(body)
    again = await (await sign_in(anonymous, "ada")).update(body)
    assert (again.headers["Idempotency-Replayed"], again.json) == ("true", made.json)
    # Another person may use the same key for something else.
    bob = await somebody(ctx, anonymous, Role.COMMS_LEAD, name="bob")
    assert "Idempotency-Replayed" not in (await bob.update(body)).headers
