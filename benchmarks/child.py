"""What the stand's own helper processes share; imports nothing of the product, so that they start at once."""

import asyncio
import os
import signal
import sys


async def until_told() -> None:
    """Return at SIGTERM, SIGINT, or when the parent is gone and its end of our standard input closes."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    stdin = sys.stdin.fileno()

    def read() -> None:
        if not os.read(stdin, 1):
            loop.remove_reader(stdin)
            stop.set()

    loop.add_reader(stdin, read)
    await stop.wait()
