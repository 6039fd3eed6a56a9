"""Alerts and dashboard: every expression asks for what the service really counts."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from service.app import Service
from service.config import load
from service.core.closing import REASONS
from service.metrics import registry
from tests.chart.rendering import CHART, NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chart.rendering import Rendered

PROMETHEUS_OWN = {"up"}
METRIC = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{")
BARE = re.compile(r"\b(?:tickfan|process|python)_[a-z_]+\b(?!\{)")


@pytest.fixture
async def exported() -> dict[str, set[str]]:
    """The samples that a scrape may give, each with its labels."""
    service = Service(load(None, {}))
    found = {}
    for family in registry(service.hub, service.connections, service.formats.encodings).collect():
        labels = set(getattr(family, "_labelnames", ()))
        if family.type == "histogram":
            found[family.name + "_bucket"] = labels | {"le"}
        else:
            found[family.name + ("_total" if family.type == "counter" else "")] = labels
    return found


def _alerts(rendered: Rendered) -> list[dict[str, Any]]:
    groups = rendered.only("PrometheusRule")["spec"]["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _dashboard(rendered: Rendered) -> dict[str, Any]:
    (data,) = [each["data"] for each in rendered.all("ConfigMap") if "tickfan.json" in each["data"]]
    found: dict[str, Any] = json.loads(data["tickfan.json"])
    return found


def _expressions(rendered: Rendered) -> Iterator[str]:
    for alert in _alerts(rendered):
        yield alert["expr"]
    for panel in _dashboard(rendered)["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def test_only_what_is_exported_is_asked_for(
    everything: Rendered, exported: dict[str, set[str]]
) -> None:
    """Each metric exists, each has a selector, and each label is one of its own or Prometheus's."""
    around = {"job", "namespace", "pod"}
    for expression in _expressions(everything):
        asked = set(METRIC.findall(expression))
        assert asked <= exported.keys() | PROMETHEUS_OWN, expression
        assert not BARE.search(expression), f"without a selector: {expression}"
        labels = {
            word
            for by in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression)
            for word in by.split(", ")
        }
        own = set().union(*(exported.get(name, set()) for name in asked))
        assert labels <= own | around, expression


def test_every_metric_of_ours_is_shown(everything: Rendered, exported: dict[str, set[str]]) -> None:
    """What is worth counting is worth a panel or an alert."""
    shown = {name for each in _expressions(everything) for name in METRIC.findall(each)}
    assert {name for name in exported if name.startswith("tickfan_")} <= shown


def test_every_metric_and_reason_is_explained(exported: dict[str, set[str]]) -> None:
    """In the operators' page, under the name that one looks for."""
    page = (CHART.parents[1] / "docs" / "operations.md").read_text()
    words = set(re.findall(r"`(\w+)[`{]", page))
    names = {name.removesuffix("_bucket") for name in exported if name.startswith("tickfan_")}
    assert names | REASONS.keys() <= words, (names | REASONS.keys()) - words


def test_closing_reasons_are_of_the_table(everything: Rendered) -> None:
    """An alert on a reason that is never given would never fire."""
    for expression in _expressions(everything):
        for reasons in re.findall(r'reason=~?"([^"]*)"', expression):
            assert set(reasons.split("|")) <= REASONS.keys()


def test_alerts_say_what_a_tired_person_needs(everything: Rendered) -> None:
    """A name, how bad, what it means; and an entry in the operators' page."""
    page = (CHART.parents[1] / "docs" / "operations.md").read_text()
    names = [alert["alert"] for alert in _alerts(everything)]
    assert len(set(names)) == len(names)
    for alert in _alerts(everything):
        assert alert["labels"]["severity"] in ("warning", "critical")
        assert set(alert["annotations"]) == {"summary", "description"}
        assert f"**{alert['alert']}**" in page, f"{alert['alert']} has no entry"


def test_alerts_are_of_this_release(everything: Rendered) -> None:
    """Two releases do not raise each other's alerts; no placeholder is left."""
    job = f'job="prices-admin", namespace="{NAMESPACE}"'
    for alert in _alerts(everything):
        for selector in re.findall(r"\{(.*?)\}", alert["expr"]):
            assert selector.startswith(job)
        assert "$SELECTOR" not in json.dumps(alert)
        assert "$CONNECTIONS_MAX" not in json.dumps(alert)


def test_saturation_is_measured_by_the_setting(everything: Rendered) -> None:
    """The limit in the alert is the one that the pods have."""
    (alert,) = [a for a in _alerts(everything) if a["alert"] == "TickfanConnectionsNearLimit"]
    assert f"> 0.8 * {everything.values['config']['stream']['connections_max']}" in alert["expr"]


def test_the_monitor_finds_the_admin_service(everything: Rendered) -> None:
    """Its selector is that of the admin Service alone, and its port has that name."""
    spec = everything.only("ServiceMonitor")["spec"]
    found = [
        service
        for service in everything.all("Service")
        if spec["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    ]
    assert [service["metadata"]["name"] for service in found] == ["prices-admin"]
    assert spec["endpoints"][0]["port"] == found[0]["spec"]["ports"][0]["name"]


def test_the_dashboard_holds_together(everything: Rendered) -> None:
    """Ids differ, panels do not overlap, each says what it shows and in which unit."""
    panels = _dashboard(everything)["panels"]
    ids = [panel["id"] for panel in panels]
    assert len(set(ids)) == len(ids)
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)
    variables = {each["name"] for each in _dashboard(everything)["templating"]["list"]}
    assert variables == {"datasource", "job", "pod"}
    for panel in panels:
        if panel["type"] != "row":
            assert panel["description"]
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


def test_how_long_something_takes_is_shown_in_quantiles(
    everything: Rendered, exported: dict[str, set[str]]
) -> None:
    """p50, p95 and p99 of every histogram, each in a panel."""
    expressions = [
        target["expr"]
        for panel in _dashboard(everything)["panels"]
        for target in panel.get("targets", ())
    ]
    for name in (name for name in exported if name.endswith("_bucket")):
        for quantile in ("0.5", "0.95", "0.99"):
            begin = f"histogram_quantile({quantile}, "
            assert [e for e in expressions if name in e and e.startswith(begin)], (name, quantile)


def test_the_files_are_read_as_they_are() -> None:
    """The alerts' file is YAML by itself, so that other tools can read it."""
    assert yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"]
