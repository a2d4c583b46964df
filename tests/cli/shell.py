"""A process that runs one `tidings` command line after the other: what is dear is starting Python.

Each line of standard input is a JSON object (arguments, environment, folder, stdin); each line of
standard output the result. Nothing is replaced but the standard streams.
"""

import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout

from dispatcher.cli import main


def run(arguments: list[str], stdin: str) -> dict[str, object]:
    out, err = io.StringIO(), io.StringIO()
    given = io.BytesIO(stdin.encode("latin-1"))  # bytes, as JSON can carry them
    sys.argv, sys.stdin = ["tidings", *arguments], io.TextIOWrapper(given, encoding="utf-8")
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
        streams[1].write(json.dumps(run(order["arguments"], order["stdin"])) + "\n")
        streams[1].flush()
