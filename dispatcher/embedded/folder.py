"""What lies on disk beside the data, and the two kinds of locks that make sharing safe.

<dir>/postgres-18/lock       held for the moments in which somebody comes or goes
                  handles/   one file per user of the server, locked by that user for life
                  data/      the cluster
                  socket/    where it listens, unless that path is too long for a socket
                  log        what the server says
"""

import fcntl
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dispatcher.embedded.account import Account, UnusableFolderError

LOCK_TIMEOUT_S: Final = 90.0  # whoever holds the lock may be waiting 60 s for a crash recovery
_POLL_S: Final = 0.02
_SOCKET_NAME: Final = ".s.PGSQL.5432"
_SOCKET_PATH_MAX: Final = 103  # bytes; Linux allows 107, macOS 103


class EmbeddedBusyError(Exception):
    """Somebody else has been starting or stopping the server for too long."""


@dataclass(frozen=True, slots=True)
class Folder:
    """The places of one server. What is ephemeral lies apart, so that it alone can be deleted."""

    dir: Path
    version: int
    ephemeral: bool

    @property
    def top(self) -> Path:
        return self.dir / "ephemeral" if self.ephemeral else self.dir

    @property
    def home(self) -> Path:
        return self.top / f"postgres-{self.version}"

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.home / "log"

    @property
    def handles(self) -> Path:
        return self.home / "handles"

    def prepare(self, account: Account) -> None:
        """Create what is missing, under the lock; nobody but us and `account` may pass."""
        account.require_reach(self.dir)
        # Passing through is all the server's own account needs above its data.
        mode = 0o700 if account.is_ours else 0o710
        for path in (self.dir, self.top, self.home):
            path.mkdir(mode=mode, parents=True, exist_ok=True)
            path.chmod(mode)
            if not account.is_ours:
                os.chown(path, -1, account.gid)
        self.handles.mkdir(mode=0o700, exist_ok=True)

    def socket_dir(self, account: Account) -> Path:
        """The folder of the socket: below ours, or a short one where that would be too long."""
        near = self.home.resolve() / "socket"
        if _fits(near):
            near.mkdir(mode=0o700, exist_ok=True)
            account.own(near)
            return near
        name = "tidings-" + hashlib.sha256(os.fsencode(near)).hexdigest()[:12]
        for base in _short_bases(account):
            if _fits(base / name) and account.barrier(base / name) is None:
                return _private(base / name, account)
        raise UnusableFolderError(f"{near} is too long for a Unix socket; choose a shorter folder.")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of this folder; whoever holds it may start, stop or count.

        Raises:
            EmbeddedBusyError: it could not be had within LOCK_TIMEOUT_S.
        """
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while (held := self._try_lock()) is None:
            if time.monotonic() > deadline:
                raise EmbeddedBusyError(
                    f"Another process has been holding {self.home / 'lock'} for "
                    f"{LOCK_TIMEOUT_S:.0f} s; end it and start again."
                )
            time.sleep(_POLL_S)
        try:
            yield
        finally:
            os.close(held)

    def _try_lock(self) -> int | None:
        path = self.home / "lock"
        try:
            held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except (FileNotFoundError, NotADirectoryError):
            self._make_home()
            return None
        except PermissionError:
            raise UnusableFolderError(
                f"{path} belongs to somebody else. Set embedded.dir to another folder."
            ) from None
        if _lock_now(held) and _is_still(path, held):
            return held
        os.close(held)
        return None

    def _make_home(self) -> None:
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        except FileNotFoundError:
            pass  # the last user of an ephemeral folder is just removing it
        except OSError as error:
            raise UnusableFolderError(
                f"Cannot create {self.home}: {error.strerror}. Set embedded.dir to another folder."
            ) from None

    def take_handle(self) -> int:
        """Register this process as a user of the server; the handle is an open file."""
        path = self.handles / f"{os.getpid()}-{secrets.token_hex(4)}"
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        return handle

    def living_handles(self) -> int:
        """How many users there are now; the files of those that ended are removed."""
        living = 0
        for path in self.handles.iterdir():
            probe = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            if _lock_now(probe):
                path.unlink()
            else:
                living += 1
            os.close(probe)
        return living

    def clear(self) -> None:
        """Delete the data; only under the lock, with the server stopped and no handle alive."""
        for data in (self.data, self.data.with_name("data.new")):
            shutil.rmtree(data, ignore_errors=True)

    def remove(self, socket_dir: Path) -> None:
        """Delete everything ephemeral; under the same conditions."""
        shutil.rmtree(socket_dir)
        # Out of the way first: a newcomer may be creating its lock at the old place already.
        gone = self.top.with_name(f"gone-{secrets.token_hex(4)}")
        self.top.rename(gone)
        shutil.rmtree(gone)
        with suppress(OSError):  # somebody's folder, perhaps with more in it
            self.dir.rmdir()


def _lock_now(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(path: Path, file: int) -> bool:
    """Whether `path` names the open `file`: an ephemeral folder may have gone while we waited."""
    try:
        return path.stat().st_ino == os.fstat(file).st_ino
    except FileNotFoundError:
        return False


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder / _SOCKET_NAME)) <= _SOCKET_PATH_MAX


def _short_bases(account: Account) -> Iterator[Path]:
    if account.is_ours and (runtime := os.environ.get("XDG_RUNTIME_DIR")):
        yield Path(runtime)
    yield Path(tempfile.gettempdir()).resolve()
    yield Path("/tmp").resolve()  # noqa: S108 - the folder made in it is checked by _private


def _private(folder: Path, account: Account) -> Path:
    """`folder`, made for the account alone; refused when somebody else was there first."""
    try:
        folder.mkdir(mode=0o700)
        account.own(folder)
    except FileExistsError:
        status = folder.lstat()
        is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == account.uid
        if not is_ours or stat.S_IMODE(status.st_mode) != stat.S_IRWXU:
            raise UnusableFolderError(
                f"{folder} exists and is not a private folder of {account.name}; remove it."
            ) from None
    return folder
