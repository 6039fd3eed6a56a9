"""Who says how many replicas run: what Helm's patches do to the count in a cluster.

A real helm and a real kubectl speak to a stand-in of Kubernetes' API.
"""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.chart.cluster import cluster
from tests.chart.rendering import CHART, NAMESPACE, RELEASE
from tests.chart.tools import tool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.chart.cluster import Cluster

AUTOSCALED = "broker.existingSecret=a,autoscaling.enabled=true"
FIXED = "broker.existingSecret=a,replicas=7"
PAGE = (CHART.parents[1] / "docs" / "kubernetes.md").read_text()


class Operator:
    """Somebody with helm and kubectl, and a cluster."""

    def __init__(self, directory: Path, there: Cluster) -> None:
        path = f"{directory}:{os.environ['PATH']}"
        self._environ = {**os.environ, "KUBECONFIG": str(there.kubeconfig), "PATH": path}
        self._environ["HOME"] = str(directory)
        self._cluster = there

    def shell(self, command: str) -> str:
        """What the command says; it must succeed."""
        done = subprocess.run(
            ["sh", "-uc", command], env=self._environ, capture_output=True, text=True, timeout=60,
            check=False, cwd=self._environ["HOME"],
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def helm(self, verb: str, *words: str, values: str = "") -> str:
        """Install, upgrade or roll back the release."""
        given = ["--disable-openapi-validation", str(CHART), "--set", values] if values else []
        words = (tool("helm"), verb, RELEASE, *given, "-n", NAMESPACE, *words)
        return self.shell(" ".join(words))

    @property
    def replicas(self) -> int:
        """The count in the cluster."""
        (deployment,) = self._cluster.of_kind("Deployment")
        return int(deployment["spec"]["replicas"])

    @replicas.setter
    def replicas(self, count: int) -> None:
        (deployment,) = self._cluster.of_kind("Deployment")
        deployment["spec"]["replicas"] = count


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    (tmp_path / "kubectl").symlink_to(tool("kubectl"))
    with cluster(tmp_path) as there:
        yield Operator(tmp_path, there)


def _command(notes: str) -> str:
    """What the notes give to run before the upgrade."""
    found = re.search(r"^  for each in \$\(kubectl.*?^  done.*?\n", notes, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[0]


def test_the_autoscalers_count_is_never_touched(operator: Operator) -> None:
    """From the first install on: no upgrade and no rollback sets what it has not set."""
    operator.helm("install", values=AUTOSCALED)
    assert operator.replicas == 1, "until the autoscaler has looked"
    operator.replicas = 3
    operator.helm("upgrade", values=f"{AUTOSCALED},config.log.level=debug")
    assert operator.replicas == 3
    operator.replicas = 10
    operator.helm("upgrade", values=f"{AUTOSCALED},service.port=81")
    assert operator.replicas == 10
    for revision in ("1", "2"):
        operator.helm("rollback", revision)
        assert operator.replicas == 10


def test_the_one_upgrade_that_takes_it_is_announced(operator: Operator) -> None:
    """A fixed count leaves the manifest: the notes give the command that keeps what runs."""
    operator.helm("install", values=FIXED)
    operator.helm("upgrade", values=f"{FIXED},service.port=81")
    notes = operator.helm("upgrade", "--dry-run", values=AUTOSCALED)
    said = operator.shell(_command(notes))
    assert said.count("patched") == 2, "every revision"
    assert operator.replicas == 7
    operator.helm("upgrade", values=AUTOSCALED)
    assert operator.replicas == 7
    operator.replicas = 10
    operator.helm("rollback", "1")
    assert operator.replicas == 10


def test_the_command_writes_nothing_that_it_could_not_read(
    operator: Operator, tmp_path: Path
) -> None:
    """Where kubectl may not read the Secret, or is cut off, Helm's revision stays as it is."""
    operator.helm("install", values=FIXED)
    command = _command(operator.helm("upgrade", "--dry-run", values=AUTOSCALED))
    (tmp_path / "kubectl").unlink()
    (tmp_path / "kubectl").write_text(
        f'#!/bin/sh\ncase "$*" in *jsonpath*) {tool("kubectl")} "$@" | head -c 5000 ;;\n'
        f'*) exec {tool("kubectl")} "$@" ;; esac\n'
    )
    (tmp_path / "kubectl").chmod(0o755)
    assert "patched" not in operator.shell(command)
    operator.helm("upgrade", values=FIXED)
    assert operator.replicas == 7


def test_without_the_command_it_is_one(operator: Operator) -> None:
    """So the warning is true."""
    operator.helm("install", values=FIXED)
    operator.helm("upgrade", values=AUTOSCALED)
    assert operator.replicas == 1


def test_a_fixed_count_is_set_each_time(operator: Operator) -> None:
    """Without an autoscaler the values say how many run."""
    operator.helm("install", values=FIXED)
    operator.replicas = 2
    operator.helm("upgrade", values=f"{FIXED},service.port=81")
    assert operator.replicas == 7


def test_the_page_has_the_same_command(operator: Operator) -> None:
    """docs/kubernetes.md gives it for the release tickfan, in the current namespace."""
    notes = operator.helm("install", "--dry-run", values=AUTOSCALED)
    ours = re.sub(r"^  ", "", _command(notes), flags=re.MULTILINE).replace(f" -n {NAMESPACE}", "")
    assert f"$ {ours.replace('name=live', 'name=tickfan')}" in PAGE
