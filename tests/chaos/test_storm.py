"""The short form of `make chaos`: a few storms. One that failed is played again by its seed."""

from pathlib import Path

import pytest

from tests.chaos.processes import Nursery
from tests.chaos.storm.play import play
from tests.chaos.storm.table import line

pytestmark = [pytest.mark.timeout(120), pytest.mark.fault(9)]


# Two in which whoever comes first dies with something under way, and one in which all die at once.
@pytest.mark.parametrize("seed", [14, 492, 3404])
async def test_a_storm_loses_nothing_and_doubles_nothing_that_is_not_flagged(
    nursery: Nursery, cluster: str, tmp_path: Path, seed: int
) -> None:
    verdict = await play(nursery, cluster, seed, tmp_path)
    print(line(verdict))  # noqa: T201 - the seed, whatever came of it
    assert verdict.survived, (
        f"{line(verdict)}\nonce more: python -m tests.chaos.storm --seed {seed} --logs /tmp/storm"
    )
