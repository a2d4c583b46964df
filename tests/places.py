"""Where tests keep the clusters of PostgreSQL that they throw away."""

import os
import shutil
import tempfile
from pathlib import Path

# Making a database is making 300 files: 20 ms in memory, 100 to 1,000 on a disk that others use too.
_MEMORY = Path("/dev/shm")  # noqa: S108 -- what is put there is made for its owner only
_MEMORY_NEEDED = 4 * 2**30


def for_clusters() -> Path:
    """Memory where there is room for it, else the folder for temporary files."""
    roomy = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _MEMORY_NEEDED
    return _MEMORY if roomy and os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
