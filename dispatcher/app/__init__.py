"""Everything a process is made of, built in one place, and what web and workers do with it (`processes`).

A command of the command line needs the first only, so the second is imported by its own name.
"""

from dispatcher.app.opening import CONNECTIONS_PER_PROVIDER, running

__all__ = ["CONNECTIONS_PER_PROVIDER", "running"]
