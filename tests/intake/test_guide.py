"""docs/api.md, done as it says by somebody new: a second terminal, an empty folder, an empty environment."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.cli.conftest import environment

ROOT: Final = Path(__file__).parents[2]
GUIDE: Final = (ROOT / "docs" / "api.md").read_text("utf-8")
RECIPES: Final = (ROOT / "docs" / "intake.md").read_text("utf-8")
BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
START: Final = "make demo ARGS=--empty\n"

# What appears on the screen, in this order, when all goes well.
SEEN: Final = (
    *[r'"result":"created"'] * 3,
    r'"state":"dispatching"',
    r'"state":"completed"',
    r'"contact":"ada".*"status":"delivered"',
    r'"status":"unreachable"',
    r'"first_notice"',
    r"http://127\.0\.0\.1:\d+/r/",
    r'"state":"dispatching"',
    r"/v1/dispatches/dsp_",
    r"dsp_",
    r'"pointer":"/stauts"',
)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[list[str]]:
    """`make demo ARGS=--empty`, without make; the lines it prints to be pasted."""
    folder = tmp_path / "first terminal"
    folder.mkdir()
    argv = (sys.executable, "-m", "dispatcher.cli", "demo", "--empty")
    with subprocess.Popen(
        argv, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines, said = list[str](), ""
        while len(lines) < 2 and (line := process.stdout.readline()):
            lines += [line] if line.startswith("export ") else []
            said += line
        assert len(lines) == 2
        assert re.search(r"http://127\.0\.0\.1:\d+/docs$", said, re.MULTILINE)
        yield lines
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    (config,) = re.findall("TIDINGS_CONFIG=(.*)", lines[0])
    assert not Path(config).parent.exists()


def script() -> str:
    """All that the guide says to type, after the start; a file where it shows one."""
    typed: list[str] = []
    for found in BLOCK.finditer(GUIDE):
        language, text = found.groups()
        if language == "python":
            before = GUIDE[: found.start()].rstrip().rpartition("\n")[2]
            (name,) = re.findall(r"`(\w+\.py)`", before)
            text = f"cat > {name} <<'EOF'\n{text}EOF\n"
        typed.append(text)
    assert typed[0] == START
    assert len(typed) == GUIDE.count("```") // 2
    return "\n".join(typed[1:])


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.timeout(180)  # an installation of its own starts and ends
def test_a_newcomer_posts_a_first_update_by_doing_what_the_guide_says(
    installation: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "second terminal"
    folder.mkdir()
    (folder / ".venv").symlink_to(sys.prefix)
    bare = {"PATH": os.defpath, "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    done = subprocess.run(
        ["/bin/sh", "-eu"],
        input="".join(installation) + script(),
        cwd=folder,
        env=bare,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    place = 0
    for pattern in SEEN:
        found = re.compile(pattern).search(done.stdout, place)
        assert found, (pattern, done.stdout[place:])
        place = found.end()
    assert (ROOT / "Makefile").read_text("utf-8").count("\n\t$(BIN)/tidings demo $(ARGS)\n") == 1


def test_every_sender_of_the_guide_has_its_recipe() -> None:
    headings = re.findall(r"^### (.*)$", RECIPES, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", name.lower()).replace(" ", "-") for name in headings}
    linked = set(re.findall(r"\(intake\.md#([\w-]+)\)", GUIDE))
    assert linked == anchors
