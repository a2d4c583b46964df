"""What a process opens, what changes behind a pooler, and that `doctor` sees when nothing is heard."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from channels.model import ChannelKind
from dispatcher.app import running
from dispatcher.cli.doctor import examine
from dispatcher.cli.finding import Mark
from dispatcher.config import DatabaseSettings, Settings
from dispatcher.db import Connection, open_pool
from dispatcher.pipeline import CONSUMERS

SCALE = (Path(__file__).parents[2] / "docs" / "scale.md").read_text("utf-8")
POOL_MAX = DatabaseSettings().pool_max
RECEIPTS_MAX = DatabaseSettings().receipts_pool_max


def test_the_connection_budget_of_the_guide_is_that_of_the_program() -> None:
    web, worker = POOL_MAX + RECEIPTS_MAX + 1, POOL_MAX + len(CONSUMERS)
    assert f"banner events | {POOL_MAX} + {RECEIPTS_MAX} + 1 = {web} |" in SCALE
    assert f"its {len(CONSUMERS)} consumers | {POOL_MAX} + {len(CONSUMERS)} = {worker} |" in SCALE
    assert f"`W × {web} + K × {worker} + 10`" in SCALE
    for webs, workers in ((1, 1), (2, 4), (4, 16)):
        assert f"| {webs} | {workers} | {webs * web + workers * worker + 10} |" in SCALE
    for_x = sum(name.removeprefix("urgent.") == ChannelKind.SOCIAL for name in CONSUMERS)
    assert f"a worker without X has {worker - for_x}" in SCALE


async def test_behind_a_transaction_pooler_nothing_is_left_in_a_session(
    database_url: str,
) -> None:
    pooled = DatabaseSettings(
        url=SecretStr(database_url), direct_url=SecretStr(database_url), transaction_pooler=True
    )
    pool = await open_pool(database_url, pooled)
    async with pool.acquire() as conn:
        assert await conn.fetchval("select $1::jsonb", {"a": 1}) == {"a": 1}
        for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
            assert await conn.fetchval("select current_setting($1)", name) == "0"
        assert await conn.fetchval("select count(*) from pg_prepared_statements") == 0
    await pool.close()


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"transaction_pooler": True, "url": "postgresql://a/b"}, "direct_url"),
        ({"direct_url": "postgresql://a/b"}, "url"),
    ],
)
def test_settings_that_could_not_listen_are_refused(given: dict[str, object], missing: str) -> None:
    with pytest.raises(ValidationError, match=f"{missing} is missing"):
        DatabaseSettings.model_validate(given)


async def test_what_listens_goes_past_the_pooler(settings: Settings, database_url: str) -> None:
    past = f"{database_url}&options=-c%20search_path%3Dpublic"
    database = settings.database.model_copy(update={"direct_url": SecretStr(past)})
    async with running(settings.model_copy(update={"database": database})) as ctx:
        assert ctx.dsn == past


async def test_doctor_prints_what_readyz_says_and_the_version_as_the_server_does(
    settings: Settings, conn: Connection
) -> None:
    found = {finding.what: finding for finding in await examine(settings)}
    version = str(await conn.fetchval("show server_version")).split()[0]
    assert found["database"].detail.startswith(f"PostgreSQL {version},")
    names = ("database", "migrations", "listener", "queue", "planning", "receipts")
    assert {found[name].mark for name in names} == {Mark.RIGHT}
    assert found["workers"].mark is Mark.NOTE


async def test_doctor_notices_that_notifications_do_not_arrive(
    settings: Settings, cluster: str
) -> None:
    # Another database stands for a pooler: what is notified there is not heard here.
    database = settings.database.model_copy(update={"direct_url": SecretStr(cluster)})
    findings = await examine(settings.model_copy(update={"database": database}))
    (heard,) = [finding for finding in findings if finding.what == "listener"]
    assert heard.mark is Mark.WRONG
    assert "TIDINGS_DATABASE__DIRECT_URL" in heard.mend
