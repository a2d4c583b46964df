"""One update to ten thousand open streams of one web process: from the commit to the last viewer."""

import asyncio
import resource
import sys
import time
from pathlib import Path

import asyncpg
import orjson

from benchmarks.meter import Meter
from benchmarks.result import Aim, Row
from benchmarks.stand import Case, Sizes, Stand, say
from benchmarks.story import word
from benchmarks.wire import fetch
from channels.model import ChannelKind
from dispatcher.cli.processes import Children
from dispatcher.stages import plan
from dispatcher.web.banner.token import make_banner_token
from segments.addresses import address_hash
from segments.model import Channel

AIM_S = 0.3
STREAMS = 10_000
# Each end of a stream is a file: the server's and the viewers' process need as many, and some more.
SPARE_FILES = 200
HASH_SQL = """
update address a set hash = t.hash from unnest($1::text[], $2::bytea[]) as t(value, hash)
where a.channel = 4 and a.value = t.value
"""
USERS_SQL = """
select d.value, a.external_id from contact_endpoint ce
join address d on d.id = ce.address_id join contact c on c.id = ce.contact_id
join account a on a.id = c.account_id
where ce.channel = 4 order by ce.endpoint_id limit $1
"""


async def run(stand: Stand, sizes: Sizes) -> list[Row]:
    """Three in five people are app users."""
    streams = _as_files_allow(min(STREAMS, sizes.of(STREAMS, least=50)))
    async with stand.case(streams * 2, channels=[ChannelKind.BANNER]) as case:
        users = [(row[0], row[1]) for row in await case.conn.fetch(USERS_SQL, streams)]
        await _hash(case, [user for user, _ in users])
        tokens = stand.folder / "tokens"
        # Opening takes a while, and a token is good for an hour.
        now = case.ctx.now()
        tokens.write_text(
            "\n".join(make_banner_token(case.ctx, user, account, now) for user, account in users)
        )
        web = await case.start_web()
        viewers = await _open(case.children, f"{web.url}/v1/banner/stream", streams, tokens)
        meter = Meter(case.postmaster, [web.pid], [viewers.pid]).start()
        committed = await _update(case)
        waits = [told - committed for told in await _told(viewers)]
        meter.stop()
    bare = await _bare(streams)
    p50, last = waits[len(waits) // 2], waits[-1]
    row = Row(
        bench="banner",
        case=f"{streams:,} streams",
        unit="s to the last",
        product=last,
        bare=bare,
        bare_what="s, bare writes",
        n=streams,
        seconds=last,
        costs=meter.costs(streams),
    )
    row.aims.append(Aim("s to the last", last, AIM_S, at_most=True))
    row.notes.append(f"half of the viewers had it after {p50:.3f} s")
    say(f"banner {streams:,}: p50 {p50:.3f} s, last {last:.3f} s, bare {bare:.3f} s")
    return [row]


def _as_files_allow(streams: int) -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = (
        min(streams + SPARE_FILES, hard)
        if hard != resource.RLIM_INFINITY
        else streams + SPARE_FILES
    )
    if soft < wanted:
        # Children inherit it.
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    allowed = min(streams, max(soft, wanted) - SPARE_FILES)
    if allowed < streams:
        say(f"banner: no more than {allowed:,} streams, as `ulimit -Hn` says {hard:,}")
    return allowed


async def _hash(case: Case, users: list[str]) -> None:
    """The population's hashes are plain; a viewer is found by the keyed one."""
    hashes = [address_hash(case.ctx.address_key, Channel.BANNER, user) for user in users]
    await case.conn.execute(HASH_SQL, users, hashes)
    await case.conn.execute("vacuum analyze address")


async def _open(
    children: Children, url: str, streams: int, tokens: Path | None = None
) -> "asyncio.subprocess.Process":
    began = time.monotonic()
    argv = [sys.executable, "-m", "benchmarks.viewers", url, str(streams)]
    process = await children.start(
        "viewers", [*argv, *([str(tokens)] if tokens else [])], read=True
    )
    assert process.stdout is not None
    # The times of ten thousand are one line.
    if await process.stdout.readline() != b"ready\n":
        raise RuntimeError("the streams could not be opened; see above")
    say(f"banner: {streams:,} streams opened in {time.monotonic() - began:.1f} s")
    return process


async def _told(viewers: "asyncio.subprocess.Process") -> list[float]:
    assert viewers.stdout is not None
    parts: list[bytes] = []
    while not parts or not parts[-1].endswith(b"\n"):
        parts.append(await asyncio.wait_for(viewers.stdout.read(2**16), 60))
        if not parts[-1]:
            raise RuntimeError("the viewers ended early; see above")
    times: list[float] = orjson.loads(b"".join(parts))
    return times


async def _update(case: Case) -> float:
    """Plan an update; when its commit was made known, in Unix time."""
    heard: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def hear(*_: object) -> None:
        if not heard.done():
            heard.set_result(time.time())

    accepted = await word(case, 1)
    listener = await asyncpg.connect(case.ctx.dsn)
    try:
        await listener.add_listener("tidings_banner", hear)
        await plan.run(case.ctx, accepted.update_id)
        return await heard
    finally:
        await listener.close()


async def _bare(streams: int) -> float:
    """Seconds until the last of as many streams has what a bare server writes to all."""
    async with Children(grace_s=5) as children:
        server = await children.start(
            "bare", [sys.executable, "-m", "benchmarks.bare_streams"], read=True
        )
        assert server.stdout is not None
        url = (await server.stdout.readline()).decode().strip()
        viewers = await _open(children, f"{url}/stream", streams)
        event = b'id: 1\nevent: upsert\ndata: {"text":"' + b"x" * 600 + b'"}\n\n'
        began = time.time()
        telling = asyncio.create_task(fetch(f"{url}/tell", "POST", event))
        times = await _told(viewers)
        await telling
    return times[-1] - began
