"""The programs in docs/clients.md, run as they stand there."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from loadtest.rig.waiting import until
from tests.service.transports.opened import transports
from tests.support.programs import require
from tickfan.core import closing

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive

TEXT = (Path(__file__).parents[3] / "docs" / "clients.md").read_text()
CODE = r"```(\w+)\n(.*?)```"
MARKED = re.findall(
    rf"(Run by the tests|Run by hand|Not run here)[^\n]*\.\n\n{CODE}", TEXT, re.DOTALL
)
RUN = [(language, code) for mark, language, code in MARKED if mark == "Run by the tests"]
ELSEWHERE = ("aio_pika", "EventSource")
PROGRAMS = [(language, code) for language, code in RUN if not any(map(code.count, ELSEWHERE))]
"""Those of clients; the publisher's is run by tests/integration/test_publisher_page.py, and the
browser's by tests/integration/test_tickets.py."""


def test_each_piece_of_code_says_whether_it_is_run() -> None:
    """A reader knows what to trust."""
    programs = [language for language, _ in re.findall(CODE, TEXT, re.DOTALL)]
    assert [language for _, language, _ in MARKED] == [
        each for each in programs if each != "console"
    ]
    assert [language for language, _ in RUN] == [
        "js", "js", "python", "python", "python", "python",
    ]  # fmt: skip
    assert len(PROGRAMS) == len(RUN) - len(ELSEWHERE)


@pytest.mark.parametrize(("language", "code"), PROGRAMS, ids=lambda text: text.splitlines()[0])
async def test_a_program_of_the_page_has_each_update_once(
    make_live: MakeLive, tmp_path: Path, language: str, code: str
) -> None:
    """Asked to come back, and cut without a word: it comes back, and goes on where it was."""
    live = await make_live(STREAM__RETRY_MS="100")
    program = tmp_path / ("program.mjs" if language == "js" else "program.py")
    program.write_text(code.replace("localhost:8080", live.url("").partition("//")[2]))
    runs = require("node", package="nodejs") if language == "js" else sys.executable
    with (tmp_path / "output").open("wb") as output:
        process = await asyncio.create_subprocess_exec(runs, program, stdout=output, stderr=output)

    def printed() -> list[str]:
        lines = (tmp_path / "output").read_text().splitlines()
        return [line for line in lines if not line.startswith("cut")]

    async def publish_and_see(values: list[str]) -> None:
        await live.publish("trades.A", values[-1])
        await until(lambda: printed() == values, f"{values} is printed, not {printed()}")

    try:
        await until(lambda: any(each.grants for each in live.service.connections), "it is here")
        await publish_and_see(["one"])
        for connection in list(live.service.connections):
            connection.subscriber.end(closing.MAX_AGE)
        await publish_and_see(["one", "two"])
        for transport in transports(live):
            transport.abort()
        await publish_and_see(["one", "two", "three"])
        assert process.returncode is None
    finally:
        process.kill()
        await process.wait()
