"""`tickfan usage`, against a count made beside a service that is moved from and killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import orjson

from loadtest.rig.process import ServiceProcess
from loadtest.rig.waiting import DEADLINE_S, until
from tests.support.access import GUARDED, SECRET, bearer, token
from tests.support.live import Talk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


JSON = "tickfan.json.v1"
ALL = None
ROUNDED_S = 0.01
"""Hours have six digits, and times three."""


class Count:
    """What the test saw: between which times each connection got something, and lost it."""

    def __init__(self) -> None:
        self.open: dict[tuple[str, str, str | None], tuple[float, float]] = {}
        self.had: dict[tuple[str, str | None], list[tuple[float, float, float, float]]] = {}
        self.most: dict[tuple[str, str | None], int] = {}

    @contextlib.contextmanager
    def begins(self, who: str, name: str, *feeds: str) -> Iterator[None]:
        """Inside of it a connection gets feeds."""
        before = time.time()
        yield
        after = time.time()
        for feed in (ALL, *feeds):
            self.open.setdefault((who, name, feed), (before, after))
            now = sum(key[0] == who and key[2] == feed for key in self.open)
            self.most[who, feed] = max(self.most.get((who, feed), 0), now)

    @contextlib.contextmanager
    def ends(self, who: str, name: str, *feeds: str) -> Iterator[None]:
        """Inside of it a connection loses feeds; ALL with the last."""
        before = time.time()
        yield
        self.over(who, name, *feeds, before=before)

    def over(self, who: str, name: str, *feeds: str | None, before: float) -> None:
        """It has lost them between ``before`` and now."""
        for feed in feeds:
            begun = self.open.pop((who, name, feed))
            self.had.setdefault((who, feed), []).append((*begun, before, time.time()))
        if {key for key in self.open if key[:2] == (who, name)} == {(who, name, ALL)}:
            self.over(who, name, ALL, before=before)

    def check(self, rows: list[dict[str, Any]]) -> None:
        """Whether these figures are the same."""
        found = {(row["subject"], row["feed"]): row for row in rows}
        assert found.keys() == self.had.keys()
        for key, row in found.items():
            had = self.had[key]
            assert row["connections"] == len(had), key
            assert row["at_once_max"] == self.most[key], key
            inner = [(after, end) for _, after, end, _ in had]
            outer = [(before, end) for before, _, _, end in had]
            assert _union(inner) - ROUNDED_S <= row["hours"] * 3600 <= _union(outer) + ROUNDED_S
            least, most = (sum(b - a for a, b in spans) for spans in (inner, outer))
            assert least - ROUNDED_S <= row["connection_hours"] * 3600 <= most + ROUNDED_S


def _union(spans: list[tuple[float, float]]) -> float:
    total, reached = 0.0, 0.0
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


class Clients(contextlib.AsyncExitStack):
    """Streams of one service, which the test opens and closes by name."""

    def __init__(self, count: Count, url: str) -> None:
        super().__init__()
        self.count = count
        self.url = url
        self.streams: dict[str, aiohttp.ClientResponse] = {}

    async def __aenter__(self) -> Self:
        self.session = await self.enter_async_context(aiohttp.ClientSession())
        return self

    async def stream(self, who: str, name: str, kind: str, channels: str, feed: str) -> None:
        """Open an SSE or NDJSON stream, and read its beginning."""
        with self.count.begins(who, name, feed):
            response = await self.session.get(
                f"{self.url}/v1/{kind}",
                params={"channels": channels},
                headers=bearer(sub=who, channels=["#"]),
            )
            assert response.status == 200
            await asyncio.wait_for(response.content.readuntil(b"snapshot_end"), DEADLINE_S)
        self.streams[name] = response

    async def close(self, who: str, name: str, feed: str, gone: Any) -> None:
        """Close it, and wait until the log has it."""
        with self.count.ends(who, name, feed):
            self.streams.pop(name).close()
            await until(gone)

    async def refused(self, status: int, channels: str, **headers: str) -> None:
        url = f"{self.url}/v1/sse"
        async with self.session.get(url, params={"channels": channels}, headers=headers) as got:
            assert got.status == status


def audit(*paths: Path) -> list[dict[str, Any]]:
    lines = b"".join(path.read_bytes() for path in paths if path.exists()).splitlines()
    return [orjson.loads(line) for line in lines]


def usage(*paths: Path) -> list[dict[str, Any]]:
    words = [sys.executable, "-m", "tickfan", "usage", "--format", "json", *map(str, paths)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


async def test_the_figures_are_those_of_who_was_there_also_across_a_kill(tmp_path: Path) -> None:
    """Three transports, a narrower token, refusals, a file that is moved, and SIGKILL."""
    path, moved = tmp_path / "audit.log", tmp_path / "audit.log.1"
    settings = {**GUARDED, "LOG__AUDIT_FILE": str(path), "STOP__DRAIN_S": "0"}
    count = Count()

    def ended() -> int:
        return sum(line["event"] == "connection ended" for line in audit(moved, path))

    with ServiceProcess(tmp_path, settings) as first:
        async with Clients(count, first.url) as clients:
            await clients.stream("ann", "ann-1", "sse", "trades.A", "trades")
            socket = await clients.session.ws_connect(
                f"{first.url}/v1/ws", protocols=(JSON,), headers=bearer(sub="ann", channels=["#"])
            )
            talk = Talk(socket)
            with count.begins("ann", "ann-2", "quotes", "trades"):
                await talk.say(op="subscribe", channels=["quotes.#", "trades.#"])
                await talk.read_until("snapshot_end")
            await clients.stream("bob", "bob-1", "ndjson", "quotes.A", "quotes")
            await clients.refused(403, "trades.B", **bearer(sub="cyd", channels=["trades.A"]))
            await clients.refused(401, "quotes.A")
            path.rename(moved)
            with count.ends("ann", "ann-2", "trades"):
                narrow = token(sub="ann", channels=["quotes.#"], jti="narrow")
                await talk.say(op="auth", token=narrow)
                await talk.read_until("authenticated")
            await clients.close("ann", "ann-1", "trades", lambda: ended() == 1)
            with count.begins("ann", "ann-2", "tokens"):
                await talk.say(op="auth", token=token(sub="ann", channels=["#"]))
                await talk.say(op="subscribe", channels=["tokens.X"])
                await talk.read_until("snapshot_end")
            await clients.stream("bob", "bob-2", "ndjson", "quotes.#", "quotes")
            last = time.time()  # its last sign of life comes after this
            await clients.stream("bob", "bob-3", "sse", "quotes.B", "quotes")
            first.kill()
            for who, name, feeds in (
                ("ann", "ann-2", ("quotes", "tokens")),
                ("bob", "bob-1", ("quotes",)),
                ("bob", "bob-2", ("quotes",)),
                ("bob", "bob-3", ("quotes",)),
            ):
                # The last one began then; it was there, and for no time.
                count.over(who, name, *feeds, before=last)
            await socket.close()
    with ServiceProcess(tmp_path, settings) as second:
        async with Clients(count, second.url) as clients:
            await clients.stream("bob", "bob-4", "sse", "quotes.B", "quotes")
            with count.ends("bob", "bob-4", "quotes"):
                assert await asyncio.to_thread(second.stop) == 0

    lines = audit(moved, path)
    count.check(usage(path, moved))
    assert audit(moved)[-1]["event"] == "access refused"
    refused = [line for line in lines if line["event"] == "access refused"]
    assert [(line["subject"], line["refused"]) for line in refused] == [
        ("cyd", [{"item": "trades.B", "code": "forbidden"}]),
        ("", [{"item": "quotes.A", "code": "unauthorized"}]),
    ]
    assert [line["jti"] for line in lines if line["event"] == "token renewed"] == ["narrow", ""]
    assert {line["remote"] for line in lines if "remote" in line} == {"127.0.0.1"}
    text = moved.read_text() + path.read_text()
    assert SECRET not in text
    assert "eyJ" not in text
    assert "tickfan.audit" not in first.output + second.output


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    """Nobody is served without the audit log that was asked for."""
    path = tmp_path / "nowhere" / "audit.log"
    environ = {
        **os.environ, "TICKFAN_BROKER__URL": "memory://", "TICKFAN_LOG__AUDIT_FILE": str(path),
    }  # fmt: skip
    words = [sys.executable, "-m", "tickfan", "serve"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environ)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"tickfan: log.audit_file: {path} cannot be written: No such file or directory. "
        "Nothing was started\n"
    )
