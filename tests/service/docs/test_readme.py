"""The Python program in README.md, run as it stands there, through a restart of the service."""

from __future__ import annotations

import asyncio
import re
import sys
import urllib.request
from pathlib import Path

from loadtest.rig.process import ServiceProcess
from loadtest.rig.waiting import until

README = Path(__file__).parents[3] / "README.md"


def publish(service: ServiceProcess, value: str) -> None:
    """Over HTTP: on memory:// anybody may."""
    request = urllib.request.Request(
        f"{service.url}/v1/channels/quotes.A", f'"{value}"'.encode(),
        {"Content-Type": "application/json"},
    )  # fmt: skip
    urllib.request.urlopen(request, timeout=10).close()


async def test_the_program_of_the_readme_comes_back(tmp_path: Path) -> None:
    """After an orderly stop and after a kill; it says why it waits, and prints no traceback."""
    (code,) = [
        code
        for code in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
        if "tickfan_client" in code
    ]
    service = ServiceProcess(
        tmp_path, {"MARKET__ENABLED": "false", "STOP__DRAIN_S": "0", "STREAM__RETRY_MS": "200"}
    )
    program = tmp_path / "program.py"
    program.write_text(code.replace("http://localhost:8080", service.url))
    await asyncio.to_thread(service.start)
    with (tmp_path / "printed").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-u", program, stdout=output, stderr=output
        )

    def printed() -> str:
        return (tmp_path / "printed").read_text()

    try:
        for value, end in (("one", service.stop), ("two", service.kill), ("three", service.kill)):
            await until(lambda: service.stats()["connections"] == 1, "it is here", seconds=30)
            await asyncio.to_thread(publish, service, value)
            await until(lambda: f"quotes.A {value}\n" in printed(), f"{value} is printed")  # noqa: B023
            await asyncio.to_thread(end)
            if value != "three":
                await asyncio.to_thread(service.start)
        assert process.returncode is None
    finally:
        process.kill()
        await process.wait()
        service.kill()
    assert "closed (drain, 4003)" in printed()
    assert "Traceback" not in printed()
