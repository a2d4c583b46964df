"""The benchmarks still run: one of each kind, as small as can be. What they measure is not judged here."""

from pathlib import Path

from benchmarks import fanout, mail
from benchmarks.result import Aim, Row
from benchmarks.stand import Sizes, Stand
from dispatcher.cli.processes import Children

TINY = Sizes(scale=0.0)


async def test_a_bench_measures_the_product_and_its_reference(cluster: str, tmp_path: Path) -> None:
    async with Children(grace_s=5) as children:
        stand = Stand(cluster, tmp_path, children)
        rows = await fanout.run(stand, TINY)
        # Real workers, a real sink, everything over HTTP.
        rows.append(await mail.send_only(stand, children, 1000, "send only"))

    for row in rows:
        found = row.as_json()
        assert found["n"] > 0
        assert found["ratio"] > 0
        assert found["costs"]["cpu_postgres"] > 0
    assert [note for row in rows for note in row.notes if note.isupper()] == []


def test_an_aim_is_met_from_the_right_side() -> None:
    def row(*aims: Aim) -> Row:
        return Row(
            bench="b", case="c", unit="/s", product=5, n=1, seconds=1, bare=10, aims=list(aims)
        )

    fast, slow = Aim("rows", 5, 5), Aim("rows", 4.9, 5)
    small, large = Aim("bytes", 5, 5, at_most=True), Aim("bytes", 5.1, 5, at_most=True)
    assert row().met is None
    assert row(fast, small).met
    assert not row(fast, large).met
    assert not row(slow).met
    assert row().ratio == 0.5
