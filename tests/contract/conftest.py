"""The official documents are not ours to ship: without them nothing here is collected.

TIDINGS_CONTRACT_SPECS names the folder that holds `vectors.json` and `specs/`; without it, a folder
`contract` in any neighbour of the checkout is taken.
"""

from pathlib import Path

import pytest

from tests.channels.conftest import provider, session
from tests.contract.checker import contract_dir

__all__ = ["provider", "session"]

collect_ignore_glob = [] if contract_dir() else ["test_*.py"]


@pytest.fixture(scope="session")
def contract() -> Path:
    """The folder with the official documents."""
    found = contract_dir()
    assert found is not None
    return found
