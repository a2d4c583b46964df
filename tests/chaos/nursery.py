"""Starts the product's commands quickly: it has imported them once, and forks a process for each.

A story has half a dozen processes, and each would spend two seconds of processor time on imports. What
runs in the child is the real command line, in a session, environment and folder of its own.

Run as a program it reads one JSON request a line and answers each with one line; when its input ends,
so does everything it has started, even if the test run was killed.
"""

import asyncio
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, NoReturn

import dispatcher.cli
import dispatcher.cli.serving  # the command line would import it, and half the product, only in the child
from dispatcher.sandbox import RunningSandbox, SandboxSettings, run_forever


def run_sandbox() -> None:
    """The providers with the settings in the first argument.

    `tidings sandbox` has the luck of real providers (bounces, late receipts); a judge wants none.
    """

    def announce(sandbox: RunningSandbox) -> None:
        key = sandbox.settings.sendgrid_webhook_public_key
        sys.stdout.write(json.dumps({"url": sandbox.url, "public_key": key}) + "\n")
        sys.stdout.flush()

    settings = SandboxSettings.model_validate_json(sys.argv[1])
    asyncio.run(run_forever(settings, started=announce))


PROGRAMS: Final[Mapping[str, Callable[[], None]]] = {
    "tidings": dispatcher.cli.main,
    "sandbox": run_sandbox,
}


def serve() -> None:
    """Answer requests until standard input ends."""
    codes: dict[int, int | None] = {}
    try:
        for line in sys.stdin:
            request = json.loads(line)
            answer = (
                _begin(codes, request) if "program" in request else _code(codes, request["pid"])
            )
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
    finally:
        for pid in codes:
            if _code(codes, pid) is None:
                with suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)


def _begin(codes: dict[int, int | None], request: dict[str, Any]) -> int:
    pid = os.fork()
    if pid == 0:
        _become(request)
    codes[pid] = None
    return pid


def _code(codes: dict[int, int | None], pid: int) -> int | None:
    """The exit code, negative for a signal; None while it runs."""
    if codes[pid] is None:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            codes[pid] = os.waitstatus_to_exitcode(status)
    return codes[pid]


def _become(request: dict[str, Any]) -> NoReturn:
    code = 1
    try:
        os.setsid()
        os.chdir(request["folder"])
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.argv = [request["program"], *request["arguments"]]
        PROGRAMS[request["program"]]()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - nothing may return into the parent's loop
        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
