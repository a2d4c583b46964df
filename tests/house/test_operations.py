"""What operators are given speaks of metrics that exist, and says what to do about each alert."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from dispatcher.app import running
from dispatcher.config import Settings
from dispatcher.web.app import make_runner
from tests.house.promql import NotPromQLError, parse

FOLDER = Path(__file__).parents[2] / "docs" / "operations"
GUIDE = (FOLDER / "operations.md").read_text("utf-8")
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "grafana-dashboard.json").read_text("utf-8"))
PANELS: list[dict[str, Any]] = [item for item in DASHBOARD["panels"] if item["type"] != "row"]
PANEL_EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
# `job` and `instance` come with the scrape, `le` with every histogram.
FROM_PROMETHEUS = {"job", "instance", "le"}


def documented() -> dict[str, set[str]]:
    """Metric to its labels, from the tables of the guide."""
    rows = re.findall(r"^\| `(tidings_\w+)` \|([^|]*)\|", GUIDE, re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


def samples_of(families: dict[str, str]) -> set[str]:
    """What an expression may name: the samples each kind of family has."""
    endings = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
    return {name + ending for name, kind in families.items() for ending in endings.get(kind, ())}


@pytest.fixture
async def exported(settings: Settings) -> AsyncIterator[dict[str, str]]:
    """Family to type, as a live process says."""
    async with running(settings) as ctx:
        runner = make_runner(ctx)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0]
        accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
        async with (
            aiohttp.ClientSession(headers=accept) as session,
            session.get(f"http://{host}:{port}/metrics") as answer,
        ):
            assert answer.ok
            text = await answer.text()
        found = text_string_to_metric_families(text)  # type: ignore[no-untyped-call] # theirs has no types
        yield {family.name: family.type for family in found}
        await runner.cleanup()


async def test_dashboard_alerts_and_guide_name_what_a_live_process_exports_and_nothing_else(
    exported: dict[str, str],
) -> None:
    ours = {name: kind for name, kind in exported.items() if name.startswith("tidings_")}
    known = samples_of(exported)
    for expression in [*PANEL_EXPRESSIONS, *(rule["expr"] for rule in RULES)]:
        assert parse(expression).metrics <= known, expression
    shown = set().union(*(parse(expression).metrics for expression in PANEL_EXPRESSIONS))
    unseen = {name for name, kind in ours.items() if not samples_of({name: kind}) & shown}
    assert unseen == set(), "every metric has a panel"
    counters = {name for name, kind in ours.items() if kind == "counter"}
    assert set(documented()) == {name + "_total" * (name in counters) for name in ours}


@pytest.mark.parametrize("expression", [*PANEL_EXPRESSIONS, *(rule["expr"] for rule in RULES)])
def test_an_expression_asks_only_for_labels_its_metrics_have(expression: str) -> None:
    found = parse(expression)
    labels = documented()
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in found.metrics}
    has = set().union(*(labels.get(name, set()) for name in families))
    assert found.labels <= has | FROM_PROMETHEUS


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_how_urgent_it_is_and_where_it_is_explained(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "warn"}
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["runbook"] == f"operations.md#{rule['alert'].lower()}"
    assert f"\n### {rule['alert']}\n" in GUIDE


def test_the_guide_explains_no_alert_that_is_gone() -> None:
    assert re.findall(r"^### (\w+)$", GUIDE, re.MULTILINE) == [rule["alert"] for rule in RULES]


def test_the_dashboard_can_be_imported_anywhere() -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    kinds = {item["name"]: item["type"] for item in DASHBOARD["templating"]["list"]}
    assert kinds["datasource"] == "datasource"
    assert "id" not in DASHBOARD, "a number of one Grafana"
    assert all(
        part["datasource"] == chosen for panel in PANELS for part in (panel, *panel["targets"])
    )
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    assert all(panel["title"] and panel["description"] for panel in PANELS)


def test_panels_do_not_cover_one_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


@pytest.mark.parametrize(
    "text", ["sum(a", "rate(a)", 'a{b="c"', "a b", "sum by (a) b", "a ~ 1", ""]
)
def test_what_is_no_expression_is_noticed(text: str) -> None:
    with pytest.raises(NotPromQLError):
        parse(text)
