"""The PostgreSQL that starts where none is configured: the wheel's binaries, our own supervision.

Many processes share one server per folder: the first in starts it, the last out stops it. A process
that is killed cannot leave, so what counts is not a list but locks: each process holds a lock on a
file of its own below `handles/`, and the kernel lets go of it however the process ends.

The server listens on a Unix socket in a folder of mode 0700 only, never on TCP.
"""

from dispatcher.embedded.account import UnusableFolderError
from dispatcher.embedded.folder import EmbeddedBusyError
from dispatcher.embedded.server import EmbeddedPostgresError
from dispatcher.embedded.share import embedded_postgres, shared_postgres

__all__ = [
    "EmbeddedBusyError",
    "EmbeddedPostgresError",
    "UnusableFolderError",
    "embedded_postgres",
    "shared_postgres",
]
