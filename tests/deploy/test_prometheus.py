"""deploy/prometheus and deploy/grafana: what promtool says of them, and that they ask for metrics that exist."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from kazoo_provisioner.web.metrics import METRICS, PREFIX
from tests.deploy.proxies import ROOT, tool
from tests.web.pages import Pages, fill, remember

ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
TRIED = ALERTS.with_name("alerts_test.yml")
DASHBOARD = ROOT / "deploy" / "grafana" / "kazoo-provisioner.json"

EVERY = {
    PREFIX + name + end
    for name, kind in METRICS.items()
    for end in (("_bucket", "_sum", "_count") if kind.type == "histogram" else ("",))
}
"""Names of all series of ours."""


def promtool(*arguments: str | Path, given: str = "", folder: Path | None = None) -> str:
    """Run promtool; return what it says. It must find nothing."""
    done = subprocess.run(
        [tool("promtool"), *arguments],
        check=False,
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def queries() -> list[str]:
    """What the dashboard asks for, with its variables filled in."""
    asked = [target["expr"] for panel in panels() for target in panel.get("targets", ())]
    return [one.replace("$__rate_interval", "5m").replace("$instance", ".*") for one in asked]


def series(query: str) -> set[str]:
    return set(re.findall(rf"\b{PREFIX}\w+", query))


def label_names(query: str) -> dict[str, set[str]]:
    """Labels that a query selects by, for each series."""
    found: dict[str, set[str]] = {}
    for name, selector in re.findall(rf"\b({PREFIX}\w+)\{{([^}}]*)\}}", query):
        found.setdefault(name, set()).update(re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', selector))
    return found


def labels_of(name: str) -> set[str]:
    """Labels that a series has, those that Prometheus adds included."""
    base = re.sub(r"_(bucket|sum|count)$", "", name.removeprefix(PREFIX))
    kind = METRICS.get(name.removeprefix(PREFIX)) or METRICS[base]
    return {*kind.labels, "instance", "job", *(["le"] if name.endswith("_bucket") else [])}


# Alerts


def test_the_alerts_are_rules() -> None:
    assert f"{len(rules())} rules found" in promtool("check", "rules", ALERTS)


def test_the_alerts_fire_when_they_should() -> None:
    assert "SUCCESS" in promtool("test", "rules", TRIED.name, folder=TRIED.parent)


def test_every_alert_was_seen_firing_and_quiet() -> None:
    tests = [one for case in yaml.safe_load(TRIED.read_text())["tests"] for one in case["alert_rule_test"]]
    every = {rule["alert"] for rule in rules()}
    assert {one["alertname"] for one in tests if one.get("exp_alerts")} == every
    assert {one["alertname"] for one in tests if not one.get("exp_alerts")} == every


def test_every_alert_says_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert len(rule["annotations"]["summary"]) < 120
        assert len(rule["annotations"]["description"]) > 40, rule["alert"]


def test_alerts_ask_for_metrics_that_exist() -> None:
    for rule in rules():
        assert series(rule["expr"]) <= EVERY, rule["alert"]
        for name, labels in label_names(rule["expr"]).items():
            assert labels <= labels_of(name), rule["alert"]


# The dashboard


def test_the_dashboard_asks_for_metrics_that_exist() -> None:
    assert len(queries()) > 20
    for query in queries():
        assert series(query), query
        assert series(query) <= EVERY, query
        for name, labels in label_names(query).items():
            assert labels <= labels_of(name), query


def test_every_metric_is_seen_by_somebody() -> None:
    """On the dashboard or in an alert: one that nobody looks at need not be there."""
    used = {
        name
        for query in (*queries(), *(rule["expr"] for rule in rules()), DASHBOARD.read_text())
        for name in series(query)
    }
    seen = {re.sub(r"_(bucket|sum|count)$", "", name) for name in used} | used
    assert {PREFIX + name for name in METRICS} <= seen


def test_prometheus_understands_the_dashboard(tmp_path: Path) -> None:
    asked = [{"record": f"dashboard:{number}", "expr": query} for number, query in enumerate(queries())]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": asked}]}))
    assert f"{len(asked)} rules found" in promtool("check", "rules", file)


def test_the_dashboard_is_whole() -> None:
    board = json.loads(DASHBOARD.read_text())
    assert board["uid"] == "kazoo-provisioner"
    assert board["schemaVersion"] >= 36
    assert board["id"] is None
    variables = {one["name"]: one for one in board["templating"]["list"]}
    assert variables["datasource"]["query"] == "prometheus"
    assert variables["instance"]["datasource"]["uid"] == "${datasource}"
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        here = {
            (place["x"] + column, place["y"] + line)
            for column in range(place["w"])
            for line in range(place["h"])
        }
        assert not here & taken, f"{panel['title']} covers another"
        taken |= here
        if panel["type"] == "row":
            continue
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


# A real page


@pytest.mark.parametrize("full", [True, False])
async def test_promtool_finds_nothing_on_the_page(tmp_path: Path, full: bool) -> None:
    if full:
        fill(tmp_path)
        remember(tmp_path)
    async with Pages(tmp_path) as pages:
        body = (await pages.curl("/metrics")).body
    assert promtool("check", "metrics", given=body) == ""
