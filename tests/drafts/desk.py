"""What a person at a desk does with drafts, over HTTP."""

from dataclasses import dataclass
from typing import Any

from dispatcher.context import Context
from tests.flow.story import eventually, update
from tests.web.client import Answer, Api

# Who waits for a lock of the test's own database.
WAITING = """
select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()
"""


async def until_waiting(ctx: Context, n: int) -> None:
    """Until so many wait for a lock that the test holds."""

    async def all_wait() -> bool:
        return bool(await ctx.pool.fetchval(WAITING) >= n)

    await eventually(all_wait, what=f"that {n} wait")


def body(ctx: Context, **more: Any) -> dict[str, Any]:
    """The body of a complete draft; anything may be overridden."""
    made: dict[str, Any] = update(ctx, mode="draft").model_dump(mode="json", exclude_unset=True)
    for key, value in more.items():
        made[key] = {**made[key], **value} if isinstance(made.get(key), dict) else value
    return made


@dataclass
class Desk:
    """One draft as one person has it before them: `seen` is the version they looked at last."""

    api: Api
    path: str
    seen: str = ""

    @classmethod
    async def with_draft(cls, api: Api, body: object, key: str = "k1") -> "Desk":
        answer = await api.update(body, key)
        assert answer.json["state"] == "draft", answer.body
        return await cls(api, answer.json["links"]["draft"]).look()

    async def look(self) -> "Desk":
        await self.show()
        return self

    async def show(self) -> dict[str, Any]:
        answer = await self.api.get(self.path)
        assert answer.status == 200, answer.body
        self.seen = answer.headers["ETag"]
        shown: dict[str, Any] = answer.json
        return shown

    async def edit(self, patch: object) -> Answer:
        answer = await self.call("PATCH", "", patch)
        if answer.status == 200:
            self.seen = answer.headers["ETag"]
        return answer

    async def submit(self) -> Answer:
        return await self.call("POST", "/submit")

    async def discard(self, why: str = "") -> Answer:
        return await self.call("DELETE", f"?why={why}" if why else "")

    async def revisions(self) -> list[dict[str, Any]]:
        answer = await self.api.get(f"{self.path}/revisions")
        assert answer.status == 200, answer.body
        rows: list[dict[str, Any]] = answer.json["data"]
        return rows

    async def call(self, method: str, more: str, patch: object = None) -> Answer:
        headers = {"If-Match": self.seen} if self.seen else {}
        return await self.api.call(method, self.path + more, patch, headers=headers)
