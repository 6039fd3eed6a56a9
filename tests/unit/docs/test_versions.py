"""docs/versions.md says with what the service runs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "versions.md").read_text()


def _oldest(part: str) -> str:
    """The version that the page gives a part."""
    [version] = re.findall(rf"^\| {part} \| ([\d.]+) or newer", PAGE, re.MULTILINE)
    return str(version)


def test_the_oldest_versions_are_those_that_are_declared() -> None:
    """Python's in pyproject.toml, Kubernetes' in the chart."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={_oldest('Python')}"
    chart = (ROOT / "helm" / "tickfan" / "Chart.yaml").read_text()
    assert f'kubeVersion: ">={_oldest("Kubernetes")}.0-0"' in chart
