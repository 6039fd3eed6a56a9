"""The k6 load test passes against the real service, and fails where it should."""

from __future__ import annotations

import asyncio
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.loadtest.relay import Relay
from tests.loadtest.tools import BUNDLE, INSTALLED, ROOT, Ended, require, run

if TYPE_CHECKING:
    from pathlib import Path

    from loadtest.rig.process import ServiceProcess

SOURCES = ROOT / "loadtest" / "k6"
FAILED_THRESHOLD = 99
WRONG_SETTING = 107

# The bundle in Node, where only what a newer k6 has can be required.
NEWER_K6 = """
class Meter { add() {} }
const sockets = [];
class WebSocket { constructor(url) { sockets.push(url); } close() {} }
const modules = {
  'k6': { sleep() {} },
  'k6/metrics': { Counter: Meter, Rate: Meter, Trend: Meter },
  'k6/execution': { scenario: { iterationInTest: 0, startTime: Date.now() } },
  'k6/websockets': { WebSocket },
};
const require_ = (name) => { if (modules[name]) return modules[name]; throw new Error(name); };
const code = require('fs').readFileSync(process.argv[1], 'utf8');
const module_ = { exports: {} };
new Function('require', 'module', 'exports', '__ENV', code)(
  require_, module_, module_.exports, { TICKFAN_LOAD_CLIENTS: '3' });
module_.exports.subscribe();
console.log(JSON.stringify(sockets));
process.exit(0);
"""


@pytest.fixture(autouse=True)
def needed() -> None:
    """Skip without k6 and the bundle."""
    require(INSTALLED, ROOT / "loadtest" / "requirements.lock")
    require(BUNDLE, SOURCES / "package-lock.json", *(SOURCES / "src").iterdir())


async def k6(directory: Path, **settings: str) -> tuple[Ended, dict[str, Any]]:
    """Run it; its end, and the metrics of its summary."""
    summary = directory / "summary.json"
    words = ["--quiet", "--no-color", "--summary-export", str(summary)]
    ended = await run(SOURCES / "run", words, settings)
    return ended, json.loads(summary.read_text())["metrics"] if summary.exists() else {}


async def test_real_service(service: ServiceProcess, tmp_path: Path) -> None:
    """Half a minute of both scenarios: everybody connects, all chains hold, status 0."""
    ended, metrics = await k6(
        tmp_path,
        HOST=service.url,
        CLIENTS="12",
        CLIENTS_PER_VU="5",
        SECONDS="12",
        RAMP_SECONDS="3",
    )

    assert ended.status == 0, ended.output
    assert metrics["tickfan_connected"]["passes"] == 2 * 12
    assert metrics["tickfan_gaps"]["count"] == 0
    assert metrics["tickfan_updates"]["count"] > 2 * 12
    assert metrics["tickfan_age{delivery:lossless}"]["max"] > 0
    assert metrics["tickfan_age{delivery:conflated}"]["max"] > 0


async def test_cut_and_gap(service: ServiceProcess, tmp_path: Path) -> None:
    """A cut connection resumes without a gap; one update taken away is one gap, and fails."""
    relay = Relay(service.url, cuts=4)
    async with relay.running() as url:
        ended, metrics = await k6(
            tmp_path,
            HOST=url,
            CHANNELS="quotes.#,trades.#",
            CLIENTS="4",
            SECONDS="10",
            SCENARIOS="steady",
        )

    assert relay.has_cut == 4
    assert metrics["tickfan_reconnects"]["count"] == 4, ended.output
    assert metrics["tickfan_gaps"]["count"] == 1, ended.output
    assert f"gap: {relay.taken['ws']}: " in ended.output
    assert ended.status == FAILED_THRESHOLD


async def test_silence(service: ServiceProcess, tmp_path: Path) -> None:
    """A service from which nothing comes fails the run."""
    ended, _ = await k6(
        tmp_path, HOST=service.url, CHANNELS="trades.NONE", SECONDS="2", SCENARIOS="steady"
    )

    assert ended.status == FAILED_THRESHOLD
    assert "thresholds on metrics 'tickfan_updates' have been crossed" in ended.output


async def test_newer_k6() -> None:
    """Where k6/websockets exists, nothing experimental is asked for."""
    node = shutil.which("node")
    assert node is not None
    process = await asyncio.create_subprocess_exec(
        node, "-e", NEWER_K6, str(BUNDLE), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()

    assert json.loads(output) == ["ws://localhost:8080/v1/ws"] * 3


async def test_wrong_setting(tmp_path: Path) -> None:
    """A wrong setting is named, and nothing runs."""
    ended, _ = await k6(tmp_path, SECONDS="soon")

    assert ended.status == WRONG_SETTING
    assert "TICKFAN_LOAD_SECONDS: soon is not a whole number" in ended.output
