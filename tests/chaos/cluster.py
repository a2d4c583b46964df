"""A PostgreSQL of the story's own, to be stopped, crashed and filled without disturbing other tests."""

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import asyncpg
import psutil

from dispatcher.db import migrate
from dispatcher.embedded.account import server_account
from dispatcher.embedded.binaries import find_binaries
from dispatcher.embedded.folder import Folder
from dispatcher.embedded.server import SUPERUSER, Server
from tests.chaos.processes import until
from tests.places import for_clusters

# Nothing here survives a power cut, and nothing needs to. A commit must reach the system before it is
# answered all the same, or a crash of the server would forget it.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "on",
    "shared_buffers": "32MB",
    "min_wal_size": "32MB",
    "max_wal_size": "48MB",
}
_DATABASE = "story"


@dataclass(frozen=True, slots=True)
class Cluster:
    """One server with one migrated database."""

    server: Server
    dsn: str

    async def start(self) -> None:
        await asyncio.to_thread(self.server.ensure_running)

    async def stop(self, how: str = "fast") -> None:
        """`fast`: sessions are told. `immediate`: they end. `kill`: the server itself is killed."""
        if how == "kill":
            server = psutil.Process(self._pid())
            server.kill()

            async def dead() -> bool:
                try:
                    return bool(server.status() == psutil.STATUS_ZOMBIE)  # nobody may reap it
                except psutil.NoSuchProcess:
                    return True

            # While it is dying it looks as if it ran, and nobody would start another.
            await until(dead, within=20, what="the server should be dead")
        else:
            await asyncio.to_thread(self.server.stop, discard=how == "immediate")

    async def restart(self, how: str) -> None:
        await self.stop(how)
        await self.start()

    def _pid(self) -> int:
        return int((self.server.folder.data / "postmaster.pid").read_text().split("\n", 1)[0])


@asynccontextmanager
async def cluster_in(folder: Path, version: int) -> AsyncIterator[Cluster]:
    """A running cluster below `folder`; it ends with the block."""
    account = server_account()
    place = Folder(dir=folder, version=version, ephemeral=True)
    place.prepare(account)
    socket_dir = place.socket_dir(account)
    server = Server(
        folder=place,
        account=account,
        binaries=find_binaries(version, account),
        socket_dir=socket_dir,
        extra=_SETTINGS,
    )
    where = f"host={quote(str(socket_dir), safe='')}"
    cluster = Cluster(server, f"postgresql://{SUPERUSER}@/{_DATABASE}?{where}")
    try:
        await cluster.start()
        admin = await asyncpg.connect(cluster.dsn, database="postgres")
        await admin.execute(f"create database {_DATABASE} strategy file_copy")
        await admin.close()
        conn = await asyncpg.connect(cluster.dsn)
        await migrate(conn)
        await conn.close()
        yield cluster
    finally:
        await cluster.stop("immediate")


@contextmanager
def folder_for_cluster() -> Iterator[Path]:
    """A folder where clusters of tests belong, which the server's account may enter."""
    folder = Path(tempfile.mkdtemp(prefix="tidings-story-", dir=for_clusters())).resolve()
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path | None]:
    """A file system of that size; None where we may not mount one."""
    with folder_for_cluster() as folder:
        options = f"size={megabytes}m,mode=711"
        program = shutil.which("mount")
        mount = [program or "", "-t", "tmpfs", "-o", options, "tidings-story", str(folder)]
        if program is None or subprocess.run(mount, check=False).returncode:
            yield None
            return
        try:
            yield folder
        finally:
            # Lazily: whatever still has something open there may take its time to end.
            subprocess.run([program.replace("mount", "umount"), "-l", str(folder)], check=True)
