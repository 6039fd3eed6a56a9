"""serve as a process of its own: it greets, it serves, it stops."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import tickfan_client
from tests.service.client.fakeservice import take

if TYPE_CHECKING:
    from collections.abc import Callable

ENOUGH_S = 20
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_greets_serves_stops(
    unused_tcp_port_factory: Callable[[], int], number: signal.Signals
) -> None:
    """The printed address works; a signal ends the clients in words and the process with 0."""
    port, admin_port = unused_tcp_port_factory(), unused_tcp_port_factory()
    env = {name: value for name, value in os.environ.items() if not name.startswith("TICKFAN_")}
    env |= {
        "TICKFAN_HTTP__PORT": str(port),
        "TICKFAN_HTTP__ADMIN_PORT": str(admin_port),
        "TICKFAN_LOG__FORMAT": "console",
        "TICKFAN_STOP__DRAIN_S": "0",
        "PYTHONPATH": os.pathsep.join(
            [str(ROOT / "service"), str(Path(tickfan_client.__file__).parents[1])]
        ),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tickfan", "serve", cwd=ROOT, env=env,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with asyncio.timeout(ENOUGH_S):
            line = b""
            while b"curl -N" not in line:
                line = await process.stderr.readline()
                assert line, "it ended before it was up"
        assert f"'http://localhost:{port}/v1/sse?channels=quotes.%23'" in line.decode()
        async with tickfan_client.connect(f"http://localhost:{port}") as client:
            await client.subscribe(["quotes.#", "trades.#"])
            assert len(await take(client, 10)) == 10
            process.send_signal(number)
            with pytest.raises(tickfan_client.Closed) as closed:
                await _read_on(client)
        assert (closed.value.reason, closed.value.may_reconnect) == ("drain", True)
        async with asyncio.timeout(ENOUGH_S):
            await process.communicate()
        assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def _read_on(client: tickfan_client.Client) -> None:
    async with asyncio.timeout(ENOUGH_S):
        async for _ in client:
            pass
