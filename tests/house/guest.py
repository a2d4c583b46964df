"""A process that shares the embedded PostgreSQL: `python -m tests.house.guest DIR VERSION`.

It prints the server's pid, then runs each line it reads as SQL and prints the first value; at the
end of its input it leaves. `--ephemeral` and `--rounds N` (come and go N times) vary that.
"""

import argparse
import asyncio
import sys
from pathlib import Path

import asyncpg

from dispatcher.embedded import embedded_postgres

# Nobody pulls the plug here; a killed process loses nothing that was written.
FAST = {"fsync": "off"}
SERVER_PID_SQL = "select split_part(pg_read_file('postmaster.pid'), e'\n', 1)"


async def stay(folder: Path, version: int, *, ephemeral: bool) -> None:
    async with embedded_postgres(folder, version, ephemeral=ephemeral, extra_settings=FAST) as dsn:
        conn = await asyncpg.connect(dsn)
        print(await conn.fetchval(SERVER_PID_SQL), flush=True)  # noqa: T201 - how it answers
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(await conn.fetchval(line), flush=True)  # noqa: T201 - same
        await conn.close()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("version", type=int)
    parser.add_argument("--ephemeral", action="store_true")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    for _ in range(options.rounds):
        await stay(options.folder, options.version, ephemeral=options.ephemeral)


if __name__ == "__main__":
    asyncio.run(main())
