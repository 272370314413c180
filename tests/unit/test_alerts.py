"""Alerts and dashboards name metrics that exist, and docs/operate.md says what to do about each alert."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.core import GaugeMetricFamily

from mailrecall.metrics import instruments
from mailrecall.metrics.state import _Control

ROOT = Path(__file__).parents[2]
RULES: dict[str, Any] = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8"))
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
RUNBOOK = (ROOT / "docs/operate.md").read_text(encoding="utf-8")
STATE = (ROOT / "mailrecall/metrics/state.py").read_text(encoding="utf-8")


def known() -> set[str]:
    """Every series that the house has."""
    names = {f"mailrecall_{name}" for name in re.findall(r'_gauge\(\s*"(\w+)"', STATE)}
    made = instruments._instruments()
    for field in made.__slots__:
        for family in getattr(made, field).describe():
            suffixes = ("_count", "_sum", "_bucket") if family.type == "histogram" else ("_total",)
            names |= {family.name + suffix for suffix in suffixes}
    return names


def used(expression: str) -> set[str]:
    return set(re.findall(r"\bmailrecall_\w+", expression))


def test_the_control_databases_metrics_are_gauges():
    assert all(isinstance(family, GaugeMetricFamily) for family in _Control().families())


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_a_section_that_says_what_to_do(name: str):
    section = re.search(rf"^### {name}\n+(.+?)(?=^##|\Z)", RUNBOOK, re.MULTILINE | re.DOTALL)
    assert section is not None
    assert len(section[1]) > 100


def test_no_section_is_about_an_alert_that_does_not_exist():
    assert set(re.findall(r"^### (\w+)$", RUNBOOK, re.MULTILINE)) == set(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_asks_for_metrics_that_exist_and_has_cases(name: str):
    rule = ALERTS[name]
    assert used(rule["expr"]) <= known()
    assert rule["labels"]["severity"] in ("page", "ticket")
    cases = (ROOT / "deploy/prometheus/alerts_test.yml").read_text(encoding="utf-8")
    assert len(re.findall(rf"alertname: {name}\b", cases)) >= 2 or name == "ExporterDown"


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_asks_for_metrics_that_exist(path: Path):
    dashboard = json.loads(path.read_text(encoding="utf-8"))
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    assert expressions
    assert set().union(*map(used, expressions)) <= known()
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(numbers) == len(set(numbers))


def test_the_runbook_says_how_alerts_reach_people():
    section = RUNBOOK.partition("### Who is told of them\n")[2].partition("\n### ")[0]
    added, routes, told = (
        yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.+?)^```$", section, re.MULTILINE | re.DOTALL)
    )
    prometheus = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    assert set(told).isdisjoint(prometheus)  # what is there twice is an error
    ((target,),) = [c["targets"] for a in told["alerting"]["alertmanagers"] for c in a["static_configs"]]
    assert target.partition(":")[0] in added["services"]
    receivers = {receiver["name"] for receiver in routes["receivers"]}
    assert {routes["route"]["receiver"], *(r["receiver"] for r in routes["route"]["routes"])} == receivers
    for severity in {rule["labels"]["severity"] for rule in ALERTS.values()}:
        assert f"`severity: {severity}`" in section


def test_each_kind_of_process_that_prometheus_reads_is_missed_when_it_is_gone():
    configuration = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    (processes,) = (job for job in configuration["scrape_configs"] if job["job_name"] == "processes")
    (found,) = processes["dns_sd_configs"]
    missed = re.findall(r'absent\(up{job="processes",process="(\w+)"}\)', ALERTS["ProcessGone"]["expr"])
    assert sorted(missed) == sorted(found["names"])
    # on Kubernetes the component is what the scrape of docs/install.md takes for the kind
    components = set()
    for path in (ROOT / "deploy/kubernetes").glob("*.yaml"):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if document["kind"] == "Deployment":
                components.add(document["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"])
    assert set(missed) == components - {"beat", "flower", "metrics"}
