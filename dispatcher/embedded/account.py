"""As whom the server runs: as we do, but PostgreSQL refuses root, so root lends it an account."""

import os
import pwd
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_OWN_ACCOUNT: Final = "tidings-pg"
_FALLBACK_ACCOUNT: Final = "nobody"
_USERADD_TRIES: Final = 20


class UnusableFolderError(Exception):
    """The account PostgreSQL runs as cannot enter a folder; the text says which and what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """The user and group that own the data and run the server."""

    name: str
    uid: int
    gid: int

    @property
    def is_ours(self) -> bool:
        """Whether the server runs as this very process does."""
        return self.uid == os.geteuid()

    @property
    def subprocess_options(self) -> dict[str, Any]:
        """Arguments for `subprocess.run` that start a program as this account."""
        if self.is_ours:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Give `path` itself to this account."""
        if not self.is_ours:
            os.chown(path, self.uid, self.gid)

    def require_reach(self, folder: Path) -> None:
        """Check that this account may pass through every folder above `folder`.

        Raises:
            UnusableFolderError: naming the first folder in the way. Permissions of folders that
                are not ours are never widened to get through.
        """
        if not self.is_ours and (barrier := self.barrier(folder)) is not None:
            raise UnusableFolderError(
                f"PostgreSQL refuses to run as root, so it runs as {self.name}, and {self.name} "
                f"cannot enter {barrier}. Set embedded.dir to a folder outside it, "
                "or start tidings as a user other than root."
            )

    def barrier(self, folder: Path) -> Path | None:
        """The topmost folder above `folder` that this account may not pass, if any."""
        for parent in reversed(folder.resolve().parents):
            if parent.is_dir() and not self._may_pass(parent):
                return parent
        return None

    def _may_pass(self, folder: Path) -> bool:
        status = folder.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & 0o100)
        if status.st_gid == self.gid:
            return bool(status.st_mode & 0o010)
        return bool(status.st_mode & 0o001)


def server_account() -> Account:
    """This process's own account or, for root, `tidings-pg` (created when possible) or `nobody`."""
    if os.geteuid() != 0:
        return Account(name="the current user", uid=os.geteuid(), gid=os.getegid())
    entry = _find(_OWN_ACCOUNT) or _create(_OWN_ACCOUNT) or pwd.getpwnam(_FALLBACK_ACCOUNT)
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def _find(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _create(name: str) -> pwd.struct_passwd | None:
    useradd = shutil.which("useradd")
    if useradd is None:
        return None
    command = [useradd, "--system", "--user-group", "--no-create-home"]
    command += ["--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", name]
    for _ in range(_USERADD_TRIES):
        done = subprocess.run(command, check=False, capture_output=True)  # noqa: S603 - fixed words
        # Eight processes may arrive at once: one creates the account, the others find it.
        if (entry := _find(name)) is not None:
            return entry
        if b"lock" not in done.stderr:
            return None
        time.sleep(0.1)
    return None
