"""The unit for a plain machine, read by systemd itself."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml

from tests.chart.tools import run, tool
from tickfan.commands.shared import FILES_BESIDE_CLIENTS
from tickfan.config import load

CONFIG = Path(__file__).parents[2] / "config"
UNIT = CONFIG / "tickfan@.service"
TEXT = UNIT.read_text()
PAGE = (CONFIG.parent / "docs" / "deployment.md").read_text()
AMQPS = {"TICKFAN_BROKER__URL": "amqps://user:password@rabbit.example/prices"}


def _only(key: str) -> str:
    (value,) = re.findall(rf"^{key}=(.*)$", TEXT, re.MULTILINE)
    return str(value)


def _environment(instance: str) -> dict[str, str]:
    pairs = _only("Environment").replace("%i", instance).split()
    return dict(pair.split("=", 1) for pair in pairs)


def _verify(directory: Path, text: str) -> Path:
    unit = directory / UNIT.name
    # The program that ExecStart names must be there.
    here = str(Path(sys.executable).parent / "tickfan")
    unit.write_text(text.replace("/opt/tickfan/bin/tickfan", here))
    done = run(tool("systemd-analyze"), "verify", "--man=no", unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return unit


def test_systemd_takes_it(tmp_path: Path) -> None:
    """Without a word; it warns of a key that it does not know, and goes on."""
    unit = _verify(tmp_path, TEXT)
    done = run(tool("systemd-analyze"), "security", "--offline=true", "--threshold=15", unit)
    assert done.returncode == 0, done.stdout[-200:]


def test_systemd_takes_the_addition_for_a_closed_network(tmp_path: Path) -> None:
    """As docs/deployment.md has it."""
    (addition,) = re.findall(r"```ini\n(\[Service\]\nIPAddressDeny=.*?)```", PAGE, re.DOTALL)
    _verify(tmp_path, f"{TEXT}\n{addition}")


def test_the_metrics_of_the_process_are_not_hidden_from_it() -> None:
    """They need /proc/stat, and all of them are missing without; alerts go by them."""
    assert not re.search(r"^ProcSubset=pid", TEXT, re.MULTILINE)


def test_the_memory_is_that_of_a_pod() -> None:
    """One number for both: systemd's G is Kubernetes' Gi."""
    values = yaml.safe_load((CONFIG.parent / "helm" / "tickfan" / "values.yaml").read_text())
    assert f"{_only('MemoryMax')}i" == values["resources"]["limits"]["memory"]


def test_systemd_takes_the_addition_for_a_private_key(tmp_path: Path) -> None:
    """As docs/deployment.md has it: the variable is a setting, and names what is handed over."""
    ((addition, key),) = re.findall(
        r"```ini\n(\[Service\]\nLoadCredential=([\w.]+):.*?)```", PAGE, re.DOTALL
    )
    _verify(tmp_path, f"{TEXT}\n{addition}")
    name, _, value = addition.splitlines()[-1].removeprefix("Environment=").partition("=")
    assert value == f"%d/{key}"
    there = tmp_path / key
    there.touch()
    environ = {**AMQPS, name: str(there), "TICKFAN_BROKER__TLS_CERT_FILE": str(there)}
    assert load(None, environ).broker.tls_key_file == str(there)


@pytest.mark.parametrize("instance", ["8", "9"])
def test_an_instance_is_where_the_proxies_look_for_it(instance: str) -> None:
    """Its ports are those of nginx.conf and haproxy.cfg, and its settings are settings."""
    http = load(None, _environment(instance)).http
    assert f"server 127.0.0.1:{http.port} " in (CONFIG / "nginx.conf").read_text()
    server = f"127.0.0.1:{http.port} check port {http.admin_port}"
    assert server in (CONFIG / "haproxy.cfg").read_text()


@pytest.mark.parametrize("secrets", ["", "TICKFAN_BROKER__URL=\n"])
def test_without_secrets_it_stays_down(tmp_path: Path, secrets: str) -> None:
    """The empty secrets.env of docs/deployment.md, filled in later: one line says what is missing.

    And systemd does not try it again.
    """
    file = tmp_path / "secrets.env"
    file.write_text(secrets)
    words = _only("ExecStart").replace("/opt/tickfan/bin", str(Path(sys.executable).parent))
    words = words.replace("/etc/tickfan", str(CONFIG))
    variables = " ".join(f"{name}={value}" for name, value in _environment("8").items())
    ended = run("env", "-i", "sh", "-c", f"set -a; . {file}; exec env {variables} {words}")
    assert ended.returncode == int(_only("RestartPreventExitStatus"))
    assert ended.stderr.count("\n") == 1
    assert "Set TICKFAN_BROKER__URL=amqp://" in ended.stderr


def test_it_has_the_time_and_the_files_that_the_settings_ask_for() -> None:
    """It is not killed in the middle of a drain, and no connection is one too many."""
    settings = load(None, {})
    assert int(_only("TimeoutStopSec")) > settings.stop.grace_s
    assert int(_only("LimitNOFILE")) >= settings.sockets_max + FILES_BESIDE_CLIENTS
