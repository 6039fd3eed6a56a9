"""compose.yaml, as far as it can be tried without an engine.

It is held against compose's own schema. What its containers' commands make of our
files is made here by the same commands, and read by the real nginx and promtool.
Not tried here: the images.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tests.chart.tools import run, tool
from tests.support.programs import require
from tests.support.prometheus import promtool
from tickfan.cli import cli
from tickfan.commands.shared import FILES_BESIDE_CLIENTS
from tickfan.config import load

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
REPLICAS = ("tickfan-1", "tickfan-2")
ALL = sorted(SERVICES)


def test_compose_knows_every_word() -> None:
    """Its specification's schema refuses names that do not exist, and other types."""
    checked = run(
        tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", ROOT / "compose.yaml"
    )
    assert checked.returncode == 0, checked.stdout


def _filled(text: str) -> str:
    """As compose fills in variables, of which none is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text).replace("$$", "$")


def _mounts(name: str) -> dict[str, Path]:
    """Where in the container each of our files is."""
    found = {}
    for volume in SERVICES[name].get("volumes", ()):
        source, target, *_ = volume.split(":")
        if source.startswith("."):
            found[target] = ROOT / source
    return found


def _run(name: str, directory: Path, made: str) -> str:
    """Run the part of a container's command that makes ``made``; its text."""
    script = _filled((SERVICES[name].get("entrypoint") or SERVICES[name]["command"])[-1])
    script, _, rest = script.partition(" && exec ")
    assert rest, "the rest is the server itself"
    for target, source in _mounts(name).items():
        script = script.replace(target, str(source))
    # The engine's own, in its place in the container.
    names = directory / "resolv.conf"
    names.write_text("search example\nnameserver 127.0.0.11\nnameserver 192.0.2.1\n")
    script = script.replace("/etc/resolv.conf", str(names))
    assert made in script
    result = directory / Path(made).name
    subprocess.run(["sh", "-c", script.replace(made, str(result))], check=True, timeout=10)
    return result.read_text()


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_open_to_the_network_or_without_a_version(name: str) -> None:
    """A laptop's ports are its own; an image that changes by itself is no demo."""
    service = SERVICES[name]
    for port in service.get("ports", ()):
        assert port.startswith("127.0.0.1:"), port
    _, _, tag = service["image"].partition(":")
    assert tag not in ("", "latest")


@pytest.mark.parametrize("name", ALL)
def test_what_is_mounted_is_there(name: str) -> None:
    """Docker makes an empty directory of a file that is not, and starts."""
    for source in _mounts(name).values():
        assert source.is_file(), source


@pytest.mark.parametrize("name", ALL)
def test_who_is_waited_for_can_become_healthy(name: str) -> None:
    """It has a health check of its own; an image in OCI's format has none."""
    waits = SERVICES[name].get("depends_on", ())
    for other in waits:
        assert other in SERVICES
        if isinstance(waits, dict) and waits[other]["condition"] == "service_healthy":
            assert "test" in SERVICES[other]["healthcheck"]
    assert "HEALTHCHECK" not in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("name", ALL)
def test_a_restart_is_of_one_service_alone(name: str) -> None:
    """With a replica nothing else restarts: nginx holds the clients of the other one."""
    waits = SERVICES[name].get("depends_on", ())
    assert not [other for other in waits if isinstance(waits, dict) and "restart" in waits[other]]


@pytest.mark.parametrize("name", [*REPLICAS, "market"])
def test_the_settings_are_settings(name: str) -> None:
    """The service takes them; they fit the limits around it."""
    service = SERVICES[name]
    environ = {key: _filled(value) for key, value in service["environment"].items()}
    settings = load(None, environ)
    (url,) = settings.broker.urls
    rabbit = {k: _filled(v) for k, v in SERVICES["rabbitmq"]["environment"].items()}
    user, password = rabbit["RABBITMQ_DEFAULT_USER"], rabbit["RABBITMQ_DEFAULT_PASS"]
    assert f"//{user}:{password}@rabbitmq:" in url
    assert int(service["stop_grace_period"].rstrip("s")) > settings.stop.grace_s
    assert service["ulimits"]["nofile"]["soft"] >= settings.sockets_max + FILES_BESIDE_CLIENTS


def test_the_market_asks_for_invented_prices() -> None:
    """By name, else `publish` refuses: of its command nothing is wrong but this broker."""
    words = SERVICES["market"]["command"]
    words = [word.replace("/etc/tickfan", str(ROOT / "config")) for word in words]
    ended = CliRunner().invoke(cli, words, env={"TICKFAN_BROKER__URL": "memory://"})
    assert ended.exit_code == 2
    assert ended.stderr.startswith("tickfan: broker.url: is memory://")


def test_nginx_finds_the_replicas(tmp_path: Path) -> None:
    """Its command makes of the one configuration one for this place; nginx takes it."""
    text = _run("nginx", tmp_path, "/etc/nginx/nginx.conf")
    assert re.findall(r"^\s*server ([\w.-]+:\d+ \w+)", text, re.MULTILINE) == [
        f"{name}:8080 resolve" for name in REPLICAS
    ]
    assert "listen 8000 " in text
    # So that a replica made anew is found without a restart: of nginx 1.27.3 and newer.
    version = SERVICES["nginx"]["image"].removeprefix("nginx:").split(".")
    assert [int(part) for part in version] >= [1, 27, 3]
    assert "resolver 127.0.0.11 valid=1s; upstream tickfan { zone tickfan 64k;" in text
    assert "127.0.0.1:" not in text
    # The names are the engine's, not this machine's, whose nginx may be older, too.
    page = tmp_path / "nginx.conf"
    page.write_text(re.sub(r"tickfan-\d:(\d+) resolve", r"127.0.0.1:\1", text))
    done = subprocess.run(
        [require("nginx"), "-t", "-p", tmp_path, "-c", page, "-g", f"pid {tmp_path}/pid;"],
        capture_output=True, text=True, timeout=10, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_prometheus_gets_the_charts_alerts_and_the_replicas(tmp_path: Path) -> None:
    """No placeholder is left; it asks for what the rules and the dashboard select."""
    rules = _run("prometheus", tmp_path, "/tmp/alerts.yaml")
    assert not re.search(r"\$[A-Z]", rules)
    done = promtool("check", "rules", tmp_path / "alerts.yaml")
    assert done.returncode == 0, done.stderr
    config = yaml.safe_load((ROOT / "config" / "prometheus.yml").read_text())
    assert config["rule_files"] == ["/tmp/alerts.yaml"]
    (job,) = config["scrape_configs"]
    (static,) = job["static_configs"]
    assert static["targets"] == [f"{name}:8081" for name in REPLICAS]
    selector = f'{{job="{job["job_name"]}", namespace="{static["labels"]["namespace"]}"'
    assert selector in rules
    assert f"{load(None, {}).stream.connections_max}" in rules


def test_grafana_shows_the_charts_dashboard() -> None:
    """The files that it is given name each other."""
    mounts = _mounts("grafana")
    by_kind = {
        target.split("/")[4]: yaml.safe_load(source.read_text())
        for target, source in mounts.items()
        if target.startswith("/etc/grafana/provisioning/")
    }
    (source,) = by_kind["datasources"]["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = by_kind["dashboards"]["providers"]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.startswith(provider["options"]["path"] + "/")
    assert mounts[home] == ROOT / "helm" / "tickfan" / "files" / "dashboard.json"
