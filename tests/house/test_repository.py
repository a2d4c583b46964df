"""What must hold for the files themselves."""

import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
LONGEST = 400

# Written apart, so that this file does not contain what it looks for.
REGISTRIES = ("py" + "pi.org", "python" + "hosted.", "npm" + "js.", "deb." + "debian.")
MACHINE_PATHS = ("/wo" + "rk/", "/fa" + "rm/", "/ro" + "ot/", "/ho" + "me/", "file:" + "//")


# Code of others may well know what a file is; it is checked against its manifest.
VENDORED = REPOSITORY / "dispatcher" / "web" / "static" / "vendor"


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns],  # noqa: S607 - whichever git made the clone
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    )
    paths = (REPOSITORY / name for name in listed.stdout.split("\0") if name)
    return [path for path in paths if path.is_file()]


@pytest.mark.parametrize("unwanted", [*REGISTRIES, *MACHINE_PATHS])
def test_no_file_names_a_download_host_or_a_place_on_one_machine(unwanted: str) -> None:
    naming = [
        str(path.relative_to(REPOSITORY))
        for path in tracked()
        if unwanted in path.read_text(encoding="utf-8", errors="replace")
        and not (unwanted in MACHINE_PATHS and path.is_relative_to(VENDORED))
    ]
    assert naming == []


def test_no_source_file_is_longer_than_a_reader_can_hold() -> None:
    lengths = {
        str(path.relative_to(REPOSITORY)): len(path.read_text(encoding="utf-8").splitlines())
        for path in tracked("*.py")
    }
    assert {path: length for path, length in lengths.items() if length > LONGEST} == {}


def test_both_locks_pin_the_same_versions() -> None:
    def pins(lock: str) -> set[str]:
        text = (REPOSITORY / lock).read_text(encoding="utf-8")
        return {line.split()[0] for line in text.splitlines() if "==" in line}

    assert pins("requirements.lock") <= pins("requirements-dev.lock")


def test_every_locked_package_is_pinned_by_hash() -> None:
    for lock in ("requirements.lock", "requirements-dev.lock"):
        text = (REPOSITORY / lock).read_text(encoding="utf-8").replace("\\\n", " ")
        lines = [line for line in text.splitlines() if line.strip()]
        assert lines
        assert [line for line in lines if "--hash=sha256:" not in line] == []
