"""Alerts and dashboard: every expression asks for what the service really counts."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client import generate_latest

from tests.chart.rendering import CHART, DEMO, NAMESPACE, VALUE_SETS, render
from tests.support.access import GUARDED
from tests.support.prometheus import promtool
from tickfan.api.context import CONTEXT
from tickfan.api.prometheus import registry
from tickfan.app import Service
from tickfan.config import load
from tickfan.core.closing import REASONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from prometheus_client import CollectorRegistry

    from tests.chart.rendering import Rendered

PROMETHEUS_OWN = {"up"}
METRIC = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{")
PAGE = (CHART.parents[1] / "docs" / "operations.md").read_text()
BARE = re.compile(r"\b(?:tickfan|process|python)_[a-z_]+\b(?!\{)")


@pytest.fixture
async def metrics() -> CollectorRegistry:
    """The service's own, before anything has happened."""
    keys = {f"TICKFAN_{name}": value for name, value in GUARDED.items()}  # or some are not there
    service = Service(load(None, keys))
    return registry(service.admin[CONTEXT])


@pytest.fixture
def exported(metrics: CollectorRegistry) -> dict[str, set[str]]:
    """The samples that a scrape may give, each with its labels."""
    found = {}
    for family in metrics.collect():
        # Before anything was counted there are no samples, and nothing else names the labels.
        labels = set(getattr(family, "_labelnames", ()))
        if family.type == "histogram":
            found[family.name + "_bucket"] = labels | {"le"}
        else:
            found[family.name + ("_total" if family.type == "counter" else "")] = labels
    return found


def _section(title: str) -> str:
    """A chapter of the operators' page."""
    _, _, rest = PAGE.partition(f"\n## {title}\n")
    assert rest, title
    return rest.partition("\n## ")[0]


def _alerts(rendered: Rendered) -> list[dict[str, Any]]:
    groups = rendered.only("PrometheusRule")["spec"]["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _dashboard(rendered: Rendered) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_dashboard_file(rendered)[1])
    return found


def _dashboard_file(rendered: Rendered) -> tuple[str, str]:
    (data,) = [
        each["data"]
        for each in rendered.all("ConfigMap")
        if each["metadata"]["name"] == f"{rendered.name}-dashboard"
    ]
    ((name, text),) = data.items()
    return name, text


def _expressions(rendered: Rendered) -> Iterator[str]:
    for alert in _alerts(rendered):
        yield alert["expr"]
    yield from _queries(rendered)


def _queries(rendered: Rendered) -> Iterator[str]:
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


def test_prometheus_likes_the_names(metrics: CollectorRegistry) -> None:
    """Its linter finds no fault in what a scrape gives: names, units, types, help."""
    done = promtool("check", "metrics", text=generate_latest(metrics).decode())
    assert (done.returncode, done.stderr) == (0, "")


def test_every_metric_is_explained(exported: dict[str, set[str]]) -> None:
    """Where the operators' page speaks of metrics; and it names none that does not exist."""
    names = {name.removesuffix("_bucket") for name in exported if name.startswith("tickfan_")}
    assert names <= set(re.findall(r"`(\w+)[`{]", _section("Metrics")))
    assert set(re.findall(r"\btickfan_[a-z_]+", PAGE)) <= names


def test_every_reason_is_explained() -> None:
    """Each reason why a connection ends begins a row of the table of them."""
    rows = re.findall(r"^\| (`.*?) \|", _section("Why connections end"), re.MULTILINE)
    explained = [reason for row in rows for reason in re.findall(r"`(\w+)`", row)]
    assert sorted(explained) == sorted(REASONS)


def test_closing_reasons_are_of_the_table(everything: Rendered) -> None:
    """An alert on a reason that is never given would never fire."""
    for expression in _expressions(everything):
        for reasons in re.findall(r'reason=~?"([^"]*)"', expression):
            assert set(reasons.split("|")) <= REASONS.keys()


def test_alerts_say_what_a_tired_person_needs(everything: Rendered) -> None:
    """A name, how bad, what it means, and the way to its entry in the operators' page."""
    names = [alert["alert"] for alert in _alerts(everything)]
    assert re.findall(r"^### (\w+)$", _section("Alerts"), re.MULTILINE) == names
    assert len(set(names)) == len(names)
    address = everything.values["monitoring"]["prometheusRule"]["runbook"]
    assert address.startswith("https:")
    for alert in _alerts(everything):
        assert alert["labels"]["severity"] in ("warning", "critical")
        assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
        # The heading's anchor, as Git's web pages make it.
        assert alert["annotations"]["runbook_url"] == f"{address}#{alert['alert'].lower()}"


def test_prometheus_takes_the_rules_as_rendered(everything: Rendered, tmp_path: Path) -> None:
    """What the operator hands on: promtool refuses fields that it does not know."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump(everything.only("PrometheusRule")["spec"]))
    done = promtool("check", "rules", rules)
    assert done.returncode == 0, done.stderr


def test_alerts_are_of_this_release(everything: Rendered) -> None:
    """Two releases do not raise each other's alerts; no placeholder is left."""
    job = f'job="prices-admin", namespace="{NAMESPACE}"'
    for alert in _alerts(everything):
        for selector in re.findall(r"\{(.*?)\}", alert["expr"]):
            assert selector.startswith(job)
        assert not re.search(r"\$[A-Z]", json.dumps(alert))


def test_quiet_feeds_are_spared(everything: Rendered, defaults: Rendered) -> None:
    """By the alert on quiet feeds alone; as it comes it spares none."""
    assert defaults.values["monitoring"]["prometheusRule"]["quietFeeds"] == []
    none = render(*DEMO, "--set", "monitoring.prometheusRule.enabled=true")
    for rendered, spared in ((everything, 'feed!~"tokens|fx"'), (none, 'feed!~""')):
        names = [alert["alert"] for alert in _alerts(rendered) if spared in alert["expr"]]
        assert names == ["TickfanFeedQuiet"]


def test_the_rules_have_no_word_about_placeholders(everything: Rendered) -> None:
    """The head of the file is for who fills them in: here they are."""
    spec = everything.text.partition("kind: PrometheusRule")[2].partition("\n---")[0]
    assert "laceholder" not in spec
    assert re.search(r"^spec:\n  groups:$", spec, re.MULTILINE)


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


def test_a_scrape_is_as_prometheus_wants_it() -> None:
    """Time-outs and relabelings are the endpoint's, and none is there unless it is set."""
    rendered = render("-f", str(VALUE_SETS["monitoring"]))
    (endpoint,) = rendered.only("ServiceMonitor")["spec"]["endpoints"]
    given = rendered.values["monitoring"]["serviceMonitor"]
    names = "interval", "scrapeTimeout", "honorLabels", "relabelings", "metricRelabelings"
    assert endpoint == {"port": "admin"} | {name: given[name] for name in names}
    bare = render(*DEMO, "--set", "monitoring.serviceMonitor.enabled=true").only("ServiceMonitor")
    assert bare["spec"]["endpoints"] == [{"port": "admin", "interval": "15s"}]
    dashboard = rendered.all("ConfigMap")[-1]["metadata"]
    assert dashboard["annotations"] == {"grafana_folder": "Prices"}


def test_grafana_knows_every_field_of_the_dashboard(everything: Rendered) -> None:
    """Read and written by Grafana's own types, nothing is lost: they drop unknown names."""
    plugins.register_default_plugins()  # of panels and data sources
    ours = _dashboard(everything)
    theirs = json.loads(json.dumps(Dashboard.from_json(ours), cls=JSONEncoder))
    assert list(_lost(ours, theirs)) == []
    assert {panel["type"] for panel in ours["panels"]} == {"row", "stat", "timeseries"}


def _lost(ours: Any, theirs: Any, path: str = "dashboard") -> Iterator[str]:
    """Where ``theirs`` has not what ``ours`` has; it may have more."""
    if isinstance(ours, dict):
        for name, value in ours.items():
            if name in theirs:
                yield from _lost(value, theirs[name], f"{path}.{name}")
            else:
                yield f"{path}.{name}"
    elif isinstance(ours, list):
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _lost(one, other, f"{path}[{index}]")
    elif ours != theirs:
        yield path


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
    variables = [each["name"] for each in _dashboard(everything)["templating"]["list"]]
    assert variables == ["datasource", "namespace", "job", "pod"]
    by_variables = 'namespace=~"$namespace", job=~"$job", pod=~"$pod"'
    for selector in re.findall(r"\{(.*?)\}", " ".join(_queries(everything))):
        assert selector.startswith(by_variables)
    for panel in panels:
        if panel["type"] != "row":
            assert panel["description"]
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


def test_two_releases_have_two_dashboards(everything: Rendered) -> None:
    """In one Grafana: files, uids, titles differ by name and by namespace; each shows its own."""
    words = (*DEMO, "--set", "monitoring.dashboard.enabled=true")
    rendered = [everything, render(*words), render(*words, "--namespace", "fx")]
    boards = [_dashboard(each) for each in rendered]
    assert len({_dashboard_file(each)[0] for each in rendered}) == len(boards)
    assert len({board["title"] for board in boards}) == len(boards)
    assert len({board["uid"] for board in boards}) == len(boards)
    for board in boards:
        assert re.fullmatch(r"[\w-]{1,40}", board["uid"]), "what Grafana takes"
    chosen = {each["name"]: each["current"] for each in boards[0]["templating"]["list"]}
    assert chosen["namespace"]["value"] == [NAMESPACE]
    assert chosen["job"]["value"] == ["prices-admin"]
    assert chosen["pod"]["value"] == "$__all"


def test_how_long_something_takes_is_shown_in_quantiles(
    everything: Rendered, exported: dict[str, set[str]]
) -> None:
    """p50, p95 and p99 of every histogram, each in a panel."""
    expressions = list(_queries(everything))
    for name in (name for name in exported if name.endswith("_bucket")):
        for quantile in ("0.5", "0.95", "0.99"):
            begin = f"histogram_quantile({quantile}, "
            assert [e for e in expressions if name in e and e.startswith(begin)], (name, quantile)


def test_the_files_are_read_as_they_are() -> None:
    """The alerts' file is YAML by itself, so that other tools can read it."""
    assert yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"]
