"""How a command ends that is not read to its end, or is interrupted; and what a shell asks of it."""

import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest

from dispatcher.cli.update import EXAMPLE
from tests.cli.conftest import COMMAND, Tidings, environment


@pytest.mark.parametrize("how", ["--json", ""])
def test_who_has_read_enough_is_not_bothered(how: str, tmp_path: Path) -> None:
    argv = [*COMMAND, "problems", "list", *how.split()]
    pipe = subprocess.PIPE
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen(
        argv, stdout=writing, stderr=pipe, env=environment(), cwd=tmp_path
    ) as process:
        os.close(writing)
        assert process.communicate(timeout=30)[1] == b""
    assert process.returncode == 141


def test_ctrl_c_ends_with_a_word_and_130(tmp_path: Path) -> None:
    ours, terminal = pty.openpty()
    argv = [*COMMAND, "send", "-"]
    with subprocess.Popen(
        argv, stdin=terminal, stderr=subprocess.PIPE, env=environment(), cwd=tmp_path, text=True
    ) as process:
        os.close(terminal)
        assert process.stderr is not None
        assert "Ctrl-D" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == "tidings: interrupted.\n"
    os.close(ours)
    assert process.returncode == 130


@pytest.mark.parametrize(
    ("typed", "offers"),
    [
        ("tidings inci", ["incidents"]),
        ("tidings incidents ", ["list", "show"]),
        ("tidings incidents list --sta", ["--state", "--status"]),
        ("tidings incidents list --state ", ["open", "resolved", "all"]),
        ("tidings exports create --format ", ["csv", "xlsx"]),
    ],
)
async def test_a_shell_completes_groups_verbs_options_and_choices(
    tidings: Tidings, typed: str, offers: list[str]
) -> None:
    words = typed.split(" ")
    said = await tidings(
        _TIDINGS_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=str(len(words) - 1)
    )
    assert said.out.split() == offers


async def test_tables_fit_a_narrow_terminal_without_colour(tidings: Tidings) -> None:
    for verb in (["problems", "list"], ["segments", "list"], ["config", "show", "--all"]):
        said = await tidings(*verb, COLUMNS="40", TERM="dumb", NO_COLOR="1")
        assert said.code == 0
        assert max(map(len, said.out.splitlines())) <= 40
        assert "\x1b" not in said.out


async def test_an_id_is_whole_however_narrow_the_terminal_is(tidings: Tidings) -> None:
    await tidings("components", "set", "checkout", "-", stdin="name: Checkout")
    said = await tidings("send", "-", "--mode", "draft", "--json", stdin=EXAMPLE)
    assert isinstance(said.json, dict)
    draft = said.json["update_id"]
    for words in (["drafts", "list"], ["audit"]):
        assert draft in (await tidings(*words, COLUMNS="60")).out


async def test_nothing_is_said_in_words(tidings: Tidings) -> None:
    customers = ("accounts", "contacts", "components", "suppressions")
    for verb in (
        *customers,
        "incidents",
        "dispatches",
        "drafts",
        "keys",
        "sources",
        "users",
        "webhooks",
    ):
        said = await tidings(verb, "list")
        assert (said.code, said.out.strip()[-1:].isspace()) == (0, False)
        assert said.out.startswith(("No ", "There is no ", "Nobody "))
    assert (await tidings("audit")).out.startswith("Nothing ")
    for words in (
        ("dispatches", "show"),
        ("deliveries", "list"),
        ("exports", "create"),
        ("watch",),
    ):
        assert "No update has been sent yet" in (await tidings(*words)).out
        assert (await tidings(*words, "--json")).json is None
