"""`python -m dispatcher.web.openapi FILE` writes the description."""

import sys
from pathlib import Path

from dispatcher.web.openapi.document import describe, written
from dispatcher.web.routes import ROUTES

if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(written(describe(ROUTES)))
