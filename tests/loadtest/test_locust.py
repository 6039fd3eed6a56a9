"""The locust load test passes against the real service, and fails where it should."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.loadtest.relay import Relay
from tests.loadtest.tools import INSTALLED, ROOT, Ended, require, run

if TYPE_CHECKING:
    from pathlib import Path

    from loadtest.rig.process import ServiceProcess

PROGRAM = ROOT / "loadtest" / "locust" / "run"


@pytest.fixture(autouse=True)
def needed() -> None:
    """Skip without locust."""
    require(INSTALLED, ROOT / "loadtest" / "requirements.lock")


async def locust(
    directory: Path, *words: str, **settings: str
) -> tuple[Ended, dict[tuple[str, str], dict[str, Any]]]:
    """Run it; its end, and the rows of its table by transport and name."""
    table = directory / "table"
    ended = await run(PROGRAM, ["--headless", "--json-file", str(table), *words], settings)
    path = table.with_suffix(".json")
    rows = json.loads(path.read_text()) if path.exists() else []
    return ended, {(row["method"], row["name"]): row for row in rows}


async def test_real_service(service: ServiceProcess, tmp_path: Path) -> None:
    """Twenty seconds, with its start, over both wires, on two workers: all is well, status 0."""
    ended, rows = await locust(
        tmp_path,
        "--processes",
        "2",
        HOST=service.url,
        CLIENTS="12",
        SECONDS="17",
        RAMP_SECONDS="3",
    )

    assert ended.status == 0, ended.output
    for kind in ("sse", "ws"):
        assert rows[kind, "connect"]["num_requests"] == 6
        assert rows[kind, "first update"]["num_requests"] == 6
        assert rows[kind, "age lossless"]["num_requests"] > 0
        assert rows[kind, "age conflated"]["num_requests"] > 0
    assert sum(row["num_failures"] for row in rows.values()) == 0


async def test_cut_and_gap(service: ServiceProcess, tmp_path: Path) -> None:
    """A cut connection resumes without a gap; one update taken away is one gap, and fails.

    On both wires. The gap is seen by a worker, and ends in the status of the master.
    """
    relay = Relay(service.url, cuts=4)
    async with relay.running() as url:
        ended, rows = await locust(
            tmp_path, "--processes", "2", HOST=url, CLIENTS="4", SECONDS="10", RAMP_SECONDS="1"
        )

    assert relay.has_cut == 4
    assert sum(rows[kind, "reconnect"]["num_requests"] for kind in ("sse", "ws")) == 4
    gaps = {kind: row["num_failures"] for (kind, name), row in rows.items() if name == "gap"}
    assert gaps == {"sse": 1, "ws": 1}, ended.output
    for kind in gaps:
        assert f"gap: {relay.taken[kind]}: " in ended.output
    assert ended.status == 1


async def test_silence(service: ServiceProcess, tmp_path: Path) -> None:
    """A service from which nothing comes fails the run."""
    ended, _ = await locust(tmp_path, HOST=service.url, CHANNELS="trades.NONE", SECONDS="2")

    assert "failed: sse: no update came" in ended.output
    assert ended.status == 1


async def test_wrong_setting(tmp_path: Path) -> None:
    """A wrong setting is named, and nothing runs."""
    ended, _ = await locust(tmp_path, SECONDS="soon")

    assert "TICKFAN_LOAD_SECONDS: soon is not a whole number" in ended.output
    assert ended.status != 0
