"""The unit for a plain machine, read by systemd itself."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from service.config import load
from tests.chart.tools import run, tool

CONFIG = Path(__file__).parents[2] / "config"
UNIT = CONFIG / "tickfan@.service"
TEXT = UNIT.read_text()


def _only(key: str) -> str:
    (value,) = re.findall(rf"^{key}=(.*)$", TEXT, re.MULTILINE)
    return str(value)


def _environment(instance: str) -> dict[str, str]:
    pairs = _only("Environment").replace("%i", instance).split()
    return dict(pair.split("=", 1) for pair in pairs)


def test_systemd_takes_it(tmp_path: Path) -> None:
    """Without a word; it warns of a key that it does not know, and goes on."""
    # The program that ExecStart names must be there.
    text = TEXT.replace("/opt/tickfan/bin/tickfan", str(Path(sys.executable).parent / "tickfan"))
    unit = tmp_path / UNIT.name
    unit.write_text(text)
    done = run(tool("systemd-analyze"), "verify", "--man=no", unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = run(tool("systemd-analyze"), "security", "--offline=true", "--threshold=25", unit)
    assert done.returncode == 0, done.stdout[-200:]


@pytest.mark.parametrize("instance", ["8", "9"])
def test_an_instance_is_where_the_proxies_look_for_it(instance: str) -> None:
    """Its ports are those of nginx.conf and haproxy.cfg, and its settings are settings."""
    http = load(None, _environment(instance)).http
    assert f"server 127.0.0.1:{http.port} " in (CONFIG / "nginx.conf").read_text()
    server = f"127.0.0.1:{http.port} check port {http.admin_port}"
    assert server in (CONFIG / "haproxy.cfg").read_text()


def test_it_has_the_time_and_the_files_that_the_settings_ask_for() -> None:
    """It is not killed in the middle of a drain, and no connection is one too many."""
    settings = load(None, {})
    assert int(_only("TimeoutStopSec")) > settings.stop.grace_s
    assert int(_only("LimitNOFILE")) > settings.stream.connections_max + 50
