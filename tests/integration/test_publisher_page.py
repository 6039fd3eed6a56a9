"""The publisher's program in docs/clients.md, run as it stands there."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from loadtest.rig.waiting import DEADLINE_S

if TYPE_CHECKING:
    from tests.integration.conftest import MakeService

TEXT = (Path(__file__).parents[2] / "docs" / "clients.md").read_text()


async def test_the_publisher_of_the_page_reaches_a_client(
    make_service: MakeService, amqp: dict[str, str], tmp_path: Path
) -> None:
    """Its update is confirmed, and is the channel's value."""
    service = make_service(amqp)
    await asyncio.to_thread(service.start)
    [code] = [
        code
        for code in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
        if "amqp://guest:guest@localhost:5672/" in code
    ]
    code = code.replace("amqp://guest:guest@localhost:5672/", amqp["BROKER__URL"])
    program = tmp_path / "program.py"
    program.write_text(code.replace('"prices"', repr(amqp["BROKER__EXCHANGE"])))

    async with (
        asyncio.timeout(2 * DEADLINE_S),
        aiohttp.ClientSession(service.url) as session,
        session.get("/v1/ndjson?channels=trades.AAPL") as answer,
    ):
        while b"snapshot_end" not in await answer.content.readline():
            pass
        process = await asyncio.create_subprocess_exec(sys.executable, program)
        assert await process.wait() == 0
        while not (line := await answer.content.readline()).startswith(b'{"channel"'):
            pass

    assert b'"data":{"price":"104.20"}' in line
