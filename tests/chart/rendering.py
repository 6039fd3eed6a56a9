"""The chart as helm renders it, taken apart. Must not know what is expected of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.chart.tools import run, tool

CHART = Path(__file__).parents[2] / "helm" / "tickfan"
VALUE_SETS = {path.name.removesuffix("-values.yaml"): path for path in CHART.glob("ci/*.yaml")}
RELEASE = "live"
NAMESPACE = "prices"
DEMO = ("--set", "demo=true")
"""The least that the chart asks for."""

Object = dict[str, Any]


class Refused(AssertionError):
    """Helm refused the values; the text is helm's."""


class Rendered(NamedTuple):
    """What one set of values makes."""

    text: str
    objects: list[Object]
    values: dict[str, Any]

    def all(self, kind: str) -> list[Object]:
        """The objects of the kind."""
        return [each for each in self.objects if each["kind"] == kind]

    def only(self, kind: str) -> Object:
        """The one object of the kind."""
        (found,) = self.all(kind)
        return found

    @property
    def name(self) -> str:
        """What the release's objects are called."""
        return str(self.deployment["metadata"]["name"])

    @property
    def deployment(self) -> Object:
        """The one Deployment."""
        return self.only("Deployment")

    @property
    def pod(self) -> Object:
        """The specification of its pods."""
        found: Object = self.deployment["spec"]["template"]["spec"]
        return found

    @property
    def container(self) -> Object:
        """Our container among them."""
        (found,) = [each for each in self.pod["containers"] if each["name"] == "tickfan"]
        return dict(found)

    @property
    def toml(self) -> str:
        """The service's settings file."""
        return next(
            str(each["data"]["tickfan.toml"])
            for each in self.all("ConfigMap")
            if "tickfan.toml" in each["data"]
        )


def render(*words: str | Path, chart: Path = CHART) -> Rendered:
    """Render with further words for helm, such as ``-f FILE`` or ``--set-json a=1``."""
    done = run(tool("helm"), "template", RELEASE, chart, "--namespace", NAMESPACE, *words)
    if done.returncode:
        raise Refused(done.stderr)
    objects = [each for each in yaml.safe_load_all(done.stdout) if each]
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    if "-f" in words:
        values = _merged(values, yaml.safe_load(Path(words[1]).read_text()))
    return Rendered(done.stdout, objects, values)


def _merged(below: Any, above: Any) -> Any:
    """Helm's own rule: maps are merged, everything else is replaced."""
    if isinstance(below, dict) and isinstance(above, dict):
        return below | {key: _merged(below.get(key), value) for key, value in above.items()}
    return above
