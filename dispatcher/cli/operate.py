"""Setting up and looking after an installation: migrate, doctor."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict

import typer

from dispatcher.cli.base import (
    Exit,
    Failure,
    Json,
    execute,
    print_json,
    settings_of,
)
from dispatcher.cli.doctor import examine
from dispatcher.cli.finding import Finding, Mark
from dispatcher.cli.plain import say
from dispatcher.config import Settings
from dispatcher.db import Pool, migrate, open_pool
from dispatcher.embedded import embedded_postgres


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("migrate")(migrate_verb)
    app.command("doctor")(doctor)


@asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[Pool]:
    """A pool on the configured or the embedded database, whatever its schema; past any pooler."""
    url = settings.database.session_url
    if url is not None:
        pool = await open_pool(url.get_secret_value(), settings.database)
        try:
            yield pool
        finally:
            await pool.close()
        return
    embedded = settings.embedded
    async with embedded_postgres(
        embedded.dir, embedded.version, ephemeral=embedded.ephemeral
    ) as dsn:
        pool = await open_pool(dsn, settings.database)
        try:
            yield pool
        finally:
            await pool.close()


def migrate_verb(ctx: typer.Context, as_json: Json = False) -> None:
    """Bring the database's schema up to date. Any number may run at once; one does the work."""

    async def work() -> list[int]:
        async with database(settings_of(ctx)) as pool, pool.acquire() as conn:
            return await migrate(conn)

    applied = execute(work())
    if as_json:
        print_json({"applied": applied})
    elif applied:
        say(f"Applied {', '.join(f'{number:04d}' for number in applied)}.")
    else:
        say("Nothing to do: the schema is current.")


def doctor(ctx: typer.Context, as_json: Json = False) -> None:
    """Look at everything that must be right, and say how to mend what is not."""
    findings = execute(examine(settings_of(ctx)))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        _print_findings(findings)
    wrong = [finding.what for finding in findings if finding.mark is Mark.WRONG]
    if wrong:
        raise Failure(Exit.DIFFERS, f"Not right: {', '.join(wrong)}.")


def _print_findings(findings: list[Finding]) -> None:
    for finding in findings:
        say(f"{finding.mark.value:<5} {finding.what}: {finding.detail}")
        if finding.mend:
            say(f"      → {finding.mend}")
