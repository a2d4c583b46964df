"""A process that runs one `tidings` command line after the other: what is dear is starting Python.

Each line of standard input is a JSON object (arguments, environment, folder, stdin or typed); each line
of standard output the result. Nothing is replaced but the standard streams.
"""

import io
import json
import os
import pty
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

from dispatcher.cli import main

END_OF_INPUT = "\x04"


@contextmanager
def terminal(typed: str) -> Iterator[io.TextIOWrapper]:
    """A real one, on which somebody has typed this and then Ctrl-D."""
    ours, theirs = pty.openpty()
    os.write(ours, (typed + END_OF_INPUT).encode())
    with open(theirs, encoding="utf-8") as opened:  # noqa: PTH123 - it has a number, no path
        yield opened
    os.close(ours)


@contextmanager
def file(stdin: str) -> Iterator[io.TextIOWrapper]:
    given = io.BytesIO(stdin.encode("latin-1"))  # bytes, as JSON can carry them
    yield io.TextIOWrapper(given, encoding="utf-8")


def run(arguments: list[str]) -> dict[str, object]:
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["tidings", *arguments]
    code: object = 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


if __name__ == "__main__":
    streams = sys.stdin, sys.stdout
    for line in streams[0]:
        order = json.loads(line)
        os.environ.clear()
        os.environ.update(order["environment"])
        os.chdir(order["folder"])
        typed = order["typed"]
        with file(order["stdin"]) if typed is None else terminal(typed) as sys.stdin:
            done = run(order["arguments"])
        streams[1].write(json.dumps(done) + "\n")
        streams[1].flush()
