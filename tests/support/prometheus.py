"""A real Prometheus with the configuration and the alert rules that we ship.

Must not know what is tested.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from loadtest.rig.rabbitmq import free_port
from tests.support.programs import require

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config" / "prometheus.yml"
ALERTS = ROOT / "helm" / "tickfan" / "files" / "alerts.yaml"
DASHBOARD = ROOT / "helm" / "tickfan" / "files" / "dashboard.json"
JOB, NAMESPACE = "tickfan-admin", "compose"
DEADLINE_S = 20


def alert_rules(connections_max: int = 100) -> str:
    """The rules as Prometheus reads them, for the job of config/prometheus.yml."""
    selector = f'job="{JOB}", namespace="{NAMESPACE}"'
    text = ALERTS.read_text().replace("$SELECTOR", selector).replace("$RUNBOOK", "operations.md")
    return text.replace("$CONNECTIONS_MAX", str(connections_max))


def promtool(*words: str | Path, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run promtool to its end, with ``text`` as its input."""
    command = [require("promtool", package="prometheus"), *words]
    return subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=60, check=False
    )


class Prometheus:
    """Scrapes one replica's admin port, several times a second."""

    def __init__(self, directory: Path, admin_port: int) -> None:
        self._binary = require("prometheus")
        self._port = free_port()
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        rules = directory / "alerts.yaml"
        rules.write_text(alert_rules())
        text = CONFIG.read_text().replace("/tmp/alerts.yaml", str(rules))
        text = re.sub(r"targets: \[.*\]", f'targets: ["127.0.0.1:{admin_port}"]', text)
        text = re.sub(r"_interval: \d+s", "_interval: 250ms", text)
        self.config = directory / "prometheus.yml"
        self.config.write_text(text)

    def __enter__(self) -> Self:
        command = [
            self._binary,
            f"--config.file={self.config}",
            f"--storage.tsdb.path={self._directory / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
        ]
        with (self._directory / "prometheus.log").open("wb") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        deadline = time.monotonic() + DEADLINE_S
        while not self._is_ready():
            assert self._process.poll() is None, self._log()
            assert time.monotonic() < deadline, self._log()
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(10)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query; an AssertionError says what Prometheus said."""
        words = urllib.parse.urlencode({"query": expression})
        answer = self._get(f"/api/v1/query?{words}")
        assert answer["status"] == "success", f"{expression}: {answer}"
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """The alert rules as Prometheus holds them, with the state of each."""
        groups = self._get("/api/v1/rules")["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Until ``condition()`` is true."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, f"waited {DEADLINE_S} s in vain: {what}"
            time.sleep(0.05)

    def _get(self, path: str) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self._port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                found: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            found = json.load(error)
        return found

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=1):
                return True
        except OSError:
            return False

    def _log(self) -> str:
        return (self._directory / "prometheus.log").read_text(errors="replace")[-3000:]
