"""What people read of the chart: the rendered page, the notes, the version."""

from __future__ import annotations

import re
import shutil
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.chart.rendering import CHART, NAMESPACE, VALUE_SETS, render
from tests.chart.valuestable import README, rows, table

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chart.rendering import Rendered

LINES_MAX = 240
COLUMNS_MAX = 120


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [str(value)]


def test_the_defaults_are_a_page_to_read(defaults: Rendered) -> None:
    """Short lines, no nulls, no empty maps, no odd blanks, no template's leftovers."""
    lines = defaults.text.splitlines()
    assert len(lines) <= LINES_MAX
    for line in lines:
        assert len(line) <= COLUMNS_MAX, line
        assert line == line.rstrip(), repr(line)
        assert not re.search(r"null$|\{\}$|\[\]$|<no value>|\{\{|e\+\d\d", line), line
    assert defaults.all("Deployment")[0]["metadata"].get("namespace") in (None, NAMESPACE)


def test_no_key_of_the_defaults_is_empty(defaults: Rendered) -> None:
    """What is not set is not there: no list, no map and no text without anything in it."""

    def empty(value: Any, path: str) -> list[str]:
        if value in ({}, [], "", None):
            return [path]
        if not isinstance(value, dict | list):
            return []
        pairs: Any = value.items() if isinstance(value, dict) else enumerate(value)
        return [each for key, below in pairs for each in empty(below, f"{path}.{key}")]

    assert not [each for found in defaults.objects for each in empty(found, found["kind"])]


def test_the_readme_has_every_value() -> None:
    """Its type, default and meaning, as values.yaml and the schema have them."""
    assert table() in README.read_text(), "run `.venv/bin/python -m tests.chart.valuestable`"
    found = list(rows())
    assert not [row.path for row in found if not row.meaning], "values without a comment"
    paths = [row.path for row in found]
    assert len(set(paths)) == len(paths)

    def leaves(value: Any, path: str) -> list[str]:
        if path in paths or not isinstance(value, dict):
            return [path]
        return [each for key, below in value.items() for each in leaves(below, f"{path}.{key}")]

    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(paths) >= {path for key, value in values.items() for path in leaves(value, key)}


def test_the_page_knows_the_times_of_a_rollout(defaults: Rendered) -> None:
    """What docs/kubernetes.md says of waits and of room is what the chart makes."""
    page = (CHART.parents[1] / "docs" / "kubernetes.md").read_text()
    spec, requests = defaults.deployment["spec"], defaults.container["resources"]["requests"]
    assert f"has failed after {spec['progressDeadlineSeconds']} s" in page
    assert f"been ready for {spec['minReadySeconds']} s" in page
    assert f"`probes.readiness.initialDelaySeconds: {spec['minReadySeconds']}`" in page
    assert requests == {"cpu": "1", "memory": "512Mi"}
    assert "a core and 512 MiB" in page


@pytest.mark.parametrize("name", ["minimal", "httproute", "ingress"])
def test_the_notes_say_what_to_try(name: str, tmp_path: Path) -> None:
    """Commands that can be pasted, with this release's names, and nothing left open."""
    # Helm shows notes only when it installs: have them rendered as an object.
    chart = tmp_path / "tickfan"
    shutil.copytree(CHART, chart)
    (chart / "templates" / "NOTES.txt").rename(chart / "NOTES.txt")
    (chart / "templates" / "notes.yaml").write_text(
        "kind: Notes\nmetadata: {name: notes}\n"
        'text: {{ tpl (.Files.Get "NOTES.txt") . | toJson }}\n'
    )
    words = ("-f", str(VALUE_SETS[name]), "--set", "service.port=8000")
    notes = render(*words, chart=chart).only("Notes")["text"]
    where = {"minimal": [], "httproute": ["https://prices.example.com"]}
    where["ingress"] = where["httproute"]
    for address in ["http://localhost:8080", *where[name]]:
        assert f"curl -N '{address}/v1/sse?channels=quotes.%23'\n" in notes
    assert "service/live-tickfan 8080:8000 " in notes
    assert "helm -n prices test live" in notes
    assert ("simulated market" in notes) == (name == "minimal")
    assert ("one replica, whatever replicas says" in notes) == (name == "minimal")


def test_the_chart_is_of_this_version() -> None:
    """Chart.yaml and pyproject.toml name one version of the service."""
    project = tomllib.loads((CHART.parents[1] / "pyproject.toml").read_text())["project"]
    assert f"appVersion: {project['version']}\n" in (CHART / "Chart.yaml").read_text()


def test_no_text_is_a_word_of_go(rendered: Rendered) -> None:
    """Nothing was printed that is Go's way to show a map, an error or a missing value."""
    for text in _texts(rendered.objects):
        assert not re.search(r"map\[|%!|<nil>|<no value>", text), text
