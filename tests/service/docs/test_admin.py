"""The calls in docs/admin.md, run as they stand there, one after the other."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from loadtest.rig.waiting import DEADLINE_S, until
from tests.support.access import GUARDED, bearer
from tests.support.programs import require
from tickfan.access.revocations import REVOCATIONS_MAX
from tickfan.api.admin import bodies, connections, revocations
from tickfan.api.admin.routes import ROUTES
from tickfan.config import load

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive

PAGE = (Path(__file__).parents[3] / "docs" / "admin.md").read_text()
EPOCH, ADDRESS = "3f9ac1d20b7e", "http://127.0.0.1:8081"
CHANGING = {"age_s", "before", "expires", "heard_s", "since"}
"""Fields whose values are those of the moment."""


def _calls() -> list[tuple[str, str]]:
    """Each command with the answer that the page shows."""
    blocks = "".join(re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL))
    return re.findall(r"^\$ (.*)\n(.*)$", blocks, re.MULTILINE)


def _lasting(value: Any) -> Any:
    """A value without what changes from run to run: of that the type is left."""
    if isinstance(value, dict):
        return {
            name: type(item).__name__ if name in CHANGING else _lasting(item)
            for name, item in value.items()
        }
    return [_lasting(item) for item in value] if isinstance(value, list) else value


async def test_each_call_is_answered_as_the_page_shows(make_live: MakeLive) -> None:
    """Two of alice's, one of bob's and one of carol's are connected."""
    require("curl")
    service = await make_live(**GUARDED, STOP__DRAIN_S="0")
    reads = ["trades.#", "quotes.#"]
    channels = "channels=trades.A,quotes.%23"
    async with AsyncExitStack() as stack:
        for claims in ({}, {}, {"sub": "bob", "jti": "b7"}, {"sub": "carol"}):
            headers = bearer(channels=reads, **claims)
            stream = await stack.enter_async_context(service.sse(channels, headers=headers))
            await stream.read_until("snapshot_end")
        seen = set()
        for command, answer in _calls():
            epoch = service.service.connections.epoch
            address = str(service.admin.make_url("")).rstrip("/")
            process = await asyncio.create_subprocess_shell(
                command.replace(EPOCH, epoch).replace(ADDRESS, address),
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S)
            expected = orjson.loads(answer.replace(EPOCH, epoch))
            assert _lasting(orjson.loads(out)) == _lasting(expected), command
            ended = expected.get("ended")
            if ended:
                left = {2: 2, 1: 1 if "drain" in answer else 0}[ended]
                await until(lambda: service.service.connected == left)  # noqa: B023 - awaited
            method = (re.search(r"-X (\w+)", command) or [None, "GET"])[1]
            path = re.search(r":8081([^\s?']+)", command)
            assert path is not None
            seen.add((method, path[1].replace(f"{EPOCH}-3", "{id}")))
    assert seen == {(route.method, route.path) for route in ROUTES}, "each call has its example"


@pytest.mark.parametrize(
    ("words", "number"),
    [
        ("1 to {} entries", bodies.ENTRIES_MAX),
        ("up to {} s are taken", bodies.AHEAD_MS_MAX // 1000),
        ("{} hold already", REVOCATIONS_MAX),
        ("`limit` is 1 to {}, and", revocations.LIMIT_MAX),
        ("`limit` is 1 to {}, and", connections.LIMIT_MAX),
    ],
)
def test_the_numbers_are_those_of_the_code(words: str, number: int) -> None:
    """Of each limit that the page names."""
    assert words.format(f"{number:,}") in PAGE


def test_what_has_to_be_made_by_hand_is_what_would_be_made() -> None:
    """Where the service may not declare it."""
    source = load(None, {}).revocation_source()
    for words in (
        f"`{source.queue}`",
        f"`{source.exchange}`",
        f"x-max-length-bytes: {source.retention_bytes}",
        f"x-max-age: {source.retention_age}",
        f"x-stream-max-segment-size-bytes: {source.segment_bytes}",
        f"with the key `{source.spec.bind[0]}`",
        f"at most {source.retention_bytes // 2**20} MiB",
    ):
        assert words in PAGE, words
