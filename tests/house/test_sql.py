"""Every SQL constant of the program fits the schema."""

import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import channels
import dispatcher
import segments
import templates
from dispatcher.db import Connection


def statements() -> Iterator[tuple[str, str]]:
    """`module.NAME_SQL` and its text, for all our packages."""
    for package in (channels, dispatcher, segments, templates):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name.endswith(".__main__"):
                continue  # runs when imported
            for name, value in vars(importlib.import_module(found.name)).items():
                if name.endswith("_SQL") and isinstance(value, str):
                    yield f"{found.name}.{name}", value


STATEMENTS = dict(statements())


def makes_temporary_tables(sql: str) -> bool:
    return sql.lstrip().lower().startswith("create temp")


async def test_every_statement_can_be_prepared_on_the_migrated_schema(conn: Connection) -> None:
    refused = {}
    # Some statements work on temporary tables, which end with their transaction.
    async with conn.transaction():
        for script in filter(makes_temporary_tables, STATEMENTS.values()):
            await conn.execute(script)
        for name, sql in STATEMENTS.items():
            if not makes_temporary_tables(sql):
                try:
                    async with conn.transaction():
                        await conn.prepare(sql)
                except Exception as error:  # noqa: BLE001 - all are told, whatever they are
                    refused[name] = str(error)
    assert refused == {}


@pytest.mark.parametrize("name", ["dispatcher.db.APPLIED_SQL", "dispatcher.tally.ADD_SQL"])
def test_the_search_for_statements_finds_what_is_there(name: str) -> None:
    assert name in STATEMENTS
