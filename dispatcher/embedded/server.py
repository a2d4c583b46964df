"""One PostgreSQL server: made, started after whatever happened before, and stopped."""

import contextlib
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from dispatcher.embedded.account import Account
from dispatcher.embedded.binaries import Binaries, ProgramError
from dispatcher.embedded.folder import Folder

START_TIMEOUT_S: Final = 60.0  # the next start after a crash replays up to max_wal_size
_POLL_S: Final = 0.05
_LOG_TAIL: Final = 2_000

SUPERUSER: Final = "tidings"
_INITDB: Final = {
    16: ("--locale=C",),
    18: ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
}
_SETTINGS: Final = {
    "shared_buffers": "256MB",
    "max_connections": "200",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "work_mem": "32MB",
    "autovacuum_naptime": "10s",
    "jit": "off",  # our statements are short; compiling them costs more than running them
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL could not be made, started or stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The server of one folder. Every method is called under the folder's lock."""

    folder: Folder
    account: Account
    binaries: Binaries
    socket_dir: Path
    extra: Mapping[str, str] = field(default_factory=dict)

    def ensure_running(self) -> None:
        """Start the server unless it runs; a crash before is recovered from.

        Raises:
            EmbeddedPostgresError: with the end of the server's log.
        """
        if self._postmaster() is not None:
            self._wait_until_ready()
            return
        self._ensure_cluster()
        self._clear_remains()
        self._configure()
        try:
            self._pg_ctl("start", "--log", str(self.folder.log))
        except ProgramError as error:
            raise EmbeddedPostgresError(
                f"The embedded PostgreSQL in {self.folder.home} did not start: {error}\n"
                f"Its log ends with:\n{self._log_tail()}"
            ) from None

    def stop(self, *, discard: bool = False) -> None:
        """Stop the server; nothing when it does not run. `discard`: its data is of no use later."""
        if self._postmaster() is None:
            return
        try:
            self._pg_ctl("stop", "--mode", "immediate" if discard else "fast")
        except ProgramError as error:
            if self._postmaster() is not None:
                raise EmbeddedPostgresError(
                    f"The embedded PostgreSQL in {self.folder.home} did not stop: {error}"
                ) from None

    def _pg_ctl(self, verb: str, *options: str) -> None:
        wait = str(int(START_TIMEOUT_S))
        command = (verb, "--pgdata", str(self.folder.data), "--wait", "--timeout", wait, *options)
        self.binaries.run("pg_ctl", *command, timeout_s=START_TIMEOUT_S + 5)

    def _ensure_cluster(self) -> None:
        data = self.folder.data
        if data.exists():
            return
        # Made elsewhere and moved into place: a kill half-way leaves nothing that looks complete.
        draft = data.with_name("data.new")
        self._end_makers(draft)
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        self.account.own(draft)
        fast = ("--no-sync",) if self.extra.get("fsync") == "off" else ()
        options = ("--auth=trust", "--encoding=UTF8", *_INITDB[self.folder.version], *fast)
        try:
            self.binaries.run(
                "initdb", "--pgdata", str(draft), "--username", SUPERUSER, *options, timeout_s=60
            )
        except ProgramError as error:
            raise EmbeddedPostgresError(f"Cannot make a database in {draft}: {error}") from None
        # Trust is limited to who may enter the socket's folder, and there is no other way in.
        self._write(draft / "pg_hba.conf", "local all all trust\n")
        draft.rename(data)

    def _end_makers(self, draft: Path) -> None:
        """End what goes on making a database there for a process that was killed meanwhile."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                is_maker = process.name() in {"initdb", "postgres"}
                if is_maker and (str(draft) in process.cmdline() or process.cwd() == str(draft)):
                    process.kill()
                    while process.status() != psutil.STATUS_ZOMBIE:
                        time.sleep(_POLL_S)

    def _configure(self) -> None:
        self.folder.log.touch(mode=0o600)
        self.account.own(self.folder.log)
        settings = {
            **_SETTINGS,
            **self.extra,
            "listen_addresses": "",
            "port": "5432",
            "unix_socket_directories": str(self.socket_dir),
            "unix_socket_permissions": "0700",
        }
        doubled = ((name, value.replace("'", "''")) for name, value in settings.items())
        lines = (f"{name} = '{value}'" for name, value in doubled)
        self._write(self.folder.data / "postgresql.conf", "\n".join(lines) + "\n")

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text)
        self.account.own(path)

    def _postmaster(self) -> psutil.Process | None:
        """The living server process that the data folder names, if it is one of this folder."""
        try:
            pid = int((self.folder.data / "postmaster.pid").read_text().split("\n", 1)[0])
            process = psutil.Process(pid)
        except (FileNotFoundError, ValueError, psutil.Error):
            return None
        return process if self._belongs_here(process) else None

    def _belongs_here(self, process: psutil.Process) -> bool:
        """Whether it is a living PostgreSQL process at work in this data folder."""
        try:
            is_postgres: bool = process.name() == "postgres"
            is_alive: bool = process.status() != psutil.STATUS_ZOMBIE
            return is_postgres and is_alive and process.cwd() == str(self.folder.data)
        except psutil.Error:
            return False

    def _wait_until_ready(self) -> None:
        """A process killed while it started the server leaves one that is still coming up."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._says_ready():
            if self._postmaster() is None or time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"The embedded PostgreSQL in {self.folder.home} is not getting ready. "
                    f"Its log ends with:\n{self._log_tail()}"
                )
            time.sleep(_POLL_S)

    def _says_ready(self) -> bool:
        try:
            lines = (self.folder.data / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        return any(line.strip() == "ready" for line in lines)

    def _clear_remains(self) -> None:
        """Wait for children of a killed server, then drop the lock files it left.

        PostgreSQL itself takes such a file seriously as long as any process of its account has that
        number: a zombie that nobody reaps, or a stranger, for numbers come round again.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        while any(self._belongs_here(process) for process in psutil.process_iter()):
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"Processes of an earlier PostgreSQL still use {self.folder.data}; end them."
                )
            time.sleep(_POLL_S)
        for left in (self.folder.data / "postmaster.pid", *self.socket_dir.iterdir()):
            left.unlink(missing_ok=True)

    def _log_tail(self) -> str:
        try:
            return self.folder.log.read_text(errors="replace")[-_LOG_TAIL:]
        except OSError:
            return "(no log)"
