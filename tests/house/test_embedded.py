"""One server for many processes, whatever becomes of them. Every guest here is a real process."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from dispatcher.embedded import UnusableFolderError, embedded_postgres, shared_postgres
from dispatcher.embedded.account import Account, server_account
from tests.house.guest import FAST
from tests.places import for_clusters

REPOSITORY = Path(__file__).parents[2]


class Guest:
    """A running tests.house.guest."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.house.guest", *arguments],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, sql: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{sql}\n")
        self.process.stdin.flush()
        return self.answer()

    def leave(self) -> None:
        self.process.communicate()
        assert self.process.returncode == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not tmp_path: that lies in a folder which PostgreSQL, not being root, may be unable to enter.
    folder = Path(tempfile.mkdtemp(prefix="tidings-embedded-", dir=for_clusters()))
    yield folder
    for pid_file in folder.rglob("postmaster.pid"):
        with suppress(psutil.NoSuchProcess):
            server = psutil.Process(int(pid_file.read_text().split()[0]))
            server.send_signal(signal.SIGQUIT)
            server.wait(10)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def guest(folder: Path, postgres_version: int) -> Iterator[Callable[..., Guest]]:
    """Starts a guest of `folder`; those still there at the end are killed."""
    guests = []

    def start(*options: str) -> Guest:
        guests.append(Guest(str(folder), str(postgres_version), *options))
        return guests[-1]

    yield start
    for one in guests:
        one.kill()


def has_ended(pid: str) -> bool:
    try:
        # In a container whose first process reaps nobody, the ended stay as zombies.
        return bool(psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def permissions(folder: Path | str) -> int:
    return Path(folder).stat().st_mode & 0o777


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_eight_processes_started_at_once_share_one_server(guest: Callable[..., Guest]) -> None:
    guests = [guest() for _ in range(8)]
    servers = {one.answer() for one in guests}
    assert len(servers) == 1
    guests[0].ask("create table note as select 'seen by all' as text")
    assert {one.ask("select text from note") for one in guests} == {"seen by all"}
    for one in guests[1:]:
        one.leave()
    assert guests[0].ask("select 1") == "1"
    guests[0].leave()
    assert has_ended(servers.pop())


def test_after_a_kill_the_others_work_and_the_last_out_stops_the_server(
    guest: Callable[..., Guest],
) -> None:
    first, second, third = guest(), guest(), guest()
    server = first.answer()
    assert (second.answer(), third.answer()) == (server, server)
    first.kill()  # perhaps the one that had started it
    assert second.ask("select 1") == "1"
    second.leave()
    assert third.ask("select 1") == "1"
    third.leave()
    assert has_ended(server)


def test_when_all_were_killed_a_newcomer_finds_the_server_and_stops_it(
    guest: Callable[..., Guest],
) -> None:
    first, second = guest(), guest()
    server = first.answer()
    assert second.answer() == server
    first.kill()
    second.kill()
    newcomer = guest()
    assert newcomer.answer() == server
    newcomer.leave()
    assert has_ended(server)


def test_after_everything_was_killed_the_next_start_has_what_was_committed(
    guest: Callable[..., Guest],
) -> None:
    first = guest()
    server = first.answer()
    first.ask("create table kept as select n from generate_series(1, 1000) n")
    os.kill(int(server), signal.SIGKILL)
    first.kill()
    second = guest()
    assert second.answer() != server
    assert second.ask("select count(*) from kept") == "1000"
    second.leave()


def test_a_kill_while_the_database_is_being_made_does_no_harm(
    guest: Callable[..., Guest], folder: Path
) -> None:
    first = guest()
    wait_for(lambda: any(folder.glob("postgres-*/data.new/PG_VERSION")))
    first.kill()
    second = guest()
    assert second.answer().isdecimal()
    second.leave()


def test_a_pid_file_that_names_a_stranger_does_not_stop_a_start(
    guest: Callable[..., Guest], folder: Path
) -> None:
    first = guest()
    first.answer()
    first.leave()
    options = server_account().subprocess_options
    with subprocess.Popen(["sleep", "60"], cwd="/", **options) as stranger:  # noqa: S607 - any program
        (data,) = folder.glob("postgres-*/data")
        (data / "postmaster.pid").write_text(f"{stranger.pid}\n{data}\n1\n5432\n\n\n\nready\n")
        second = guest()
        assert second.answer() != str(stranger.pid)
        second.leave()
        assert stranger.poll() is None
        stranger.kill()


def test_ephemeral_data_goes_with_the_last_one(guest: Callable[..., Guest], folder: Path) -> None:
    first, second = guest("--ephemeral"), guest("--ephemeral")
    assert first.answer() == second.answer()
    first.leave()
    assert second.ask("select 1") == "1"
    second.leave()
    assert not folder.exists()


def test_ephemeral_guests_leave_lasting_data_alone(guest: Callable[..., Guest]) -> None:
    lasting = guest()
    lasting.answer()
    lasting.ask("create table kept as select 1 as n")
    lasting.leave()
    passing = guest("--ephemeral")
    passing.answer()
    assert passing.ask("select to_regclass('kept')") == "None"
    passing.leave()
    lasting = guest()
    lasting.answer()
    assert lasting.ask("select n from kept") == "1"
    lasting.leave()


def test_ephemeral_data_of_the_killed_is_not_found_again(guest: Callable[..., Guest]) -> None:
    first = guest("--ephemeral")
    server = first.answer()
    first.ask("create table left_behind ()")
    first.kill()
    second = guest("--ephemeral")
    assert second.answer() != server
    assert has_ended(server)
    assert second.ask("select to_regclass('left_behind')") == "None"
    second.leave()


def test_guests_of_an_ephemeral_folder_may_come_while_others_go(
    guest: Callable[..., Guest], folder: Path
) -> None:
    guests = [guest("--ephemeral", "--rounds", "3") for _ in range(3)]
    for one in guests:
        one.leave()
    assert not folder.exists()


def test_nobody_else_can_reach_the_server(guest: Callable[..., Guest], folder: Path) -> None:
    one = guest()
    one.answer()
    assert one.ask("show listen_addresses") == ""
    for place in ("unix_socket_directories", "data_directory"):
        assert permissions(one.ask(f"show {place}")) == 0o700
    # Root's server runs as an account that may pass through here, and not even look.
    assert permissions(folder) in {0o700, 0o710}


def test_a_folder_too_deep_for_a_socket_still_works(folder: Path, postgres_version: int) -> None:
    folder.chmod(0o755)
    one = Guest(str(folder / ("d" * 60) / ("e" * 60)), str(postgres_version), "--ephemeral")
    one.answer()
    socket = Path(one.ask("show unix_socket_directories"))
    assert permissions(socket) == 0o700
    one.leave()
    assert not socket.exists()


async def test_a_start_that_is_cancelled_leaves_no_server(
    folder: Path, postgres_version: int
) -> None:
    async def stay() -> None:
        async with embedded_postgres(folder, postgres_version, extra_settings=FAST):
            await asyncio.sleep(60)

    starting = asyncio.create_task(stay())
    await asyncio.to_thread(wait_for, lambda: any(folder.glob("postgres-*/data.new")))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    data = folder / f"postgres-{postgres_version}" / "data"
    found = set(await asyncio.to_thread(os.listdir, data))
    assert "PG_VERSION" in found
    assert "postmaster.pid" not in found


def test_a_folder_that_cannot_be_made_is_named(folder: Path, postgres_version: int) -> None:
    folder.chmod(0o755)
    (folder / "file").touch()
    with (
        pytest.raises(UnusableFolderError, match=r"Cannot create .*/file/.*Set embedded.dir"),
        shared_postgres(folder / "file" / "data", postgres_version),
    ):
        pass


def test_a_folder_the_servers_account_cannot_enter_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    somebody = Account(name="somebody", uid=os.geteuid() + 1, gid=os.getegid() + 1)
    assert somebody.barrier(closed / "data") in {closed, *closed.parents}
    with pytest.raises(UnusableFolderError, match=r"somebody cannot enter /.*Set embedded.dir"):
        somebody.require_reach(closed / "data")
