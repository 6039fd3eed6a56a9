"""tickfan.transports.guest: the way out, and what is left."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from loadtest.rig.waiting import until
from tests.service.transports.opened import KINDS, open_stream, transports
from tests.support.memory import timers_set
from tests.support.raw import PONG, connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.fixtures import MakeLive
    from tests.support.live import Live


@pytest.mark.parametrize("kind", ["sse", "ndjson"])
async def test_who_has_not_read_what_came_before_is_cut(make_live: MakeLive, kind: str) -> None:
    """A stream waits for an earlier answer's bytes, but only for closing_timeout_s."""
    service = await make_live(STREAM__CLOSING_TIMEOUT_S="0.2")
    async with connect(service, receive_bytes=4096) as wire:
        await until(lambda: transports(service))
        [transport] = transports(service)
        transport.write(b"x" * 2**24)
        wire.send(KINDS[kind])
        await until(lambda: not transports(service))
    assert not service.service.tally.connects


@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_that_does_not_read_holds_up_no_goodbye(
    make_live: MakeLive, kind: str, over: dict[str, str]
) -> None:
    """What cannot be written within closing_timeout_s ends in an abort; nothing stays."""
    service = await make_live(**over, STREAM__CLOSING_TIMEOUT_S="0.2")
    async with connect(service, KINDS[kind], receive_bytes=4096) as wire:
        await open_stream(wire, kind)
        [transport] = transports(service)
        while transport.get_write_buffer_size() < 10_000:
            await service.publish("trades.A", "x" * 50_000)
            await asyncio.sleep(0.001)
        held = transport.get_write_buffer_size()
        await service.service.drain(0)
        await until(lambda: not transports(service))
    assert held <= 128 * 1024
    assert not service.service.connected
    assert not len(service.service.pump)


@contextlib.contextmanager
def no_more_files() -> Iterator[None]:
    """None can be opened in this process."""
    files: list[int] = []
    was = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 5, was[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                files.append(os.dup(0))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, was)
        for file in files:
            os.close(file)


@pytest.mark.parametrize("kind", KINDS)
async def test_who_finds_no_file_left_is_told(service: Live, kind: str) -> None:
    """By name, and to come back; one line in the log, and no stack trace."""
    connections = service.client.server.runner.server  # type: ignore[union-attr]
    with capture_logs() as logs:
        async with connect(service) as wire:
            await until(lambda: connections.connections)  # type: ignore[union-attr]
            with no_more_files():
                wire.send(KINDS[kind])
                answer = await wire.rest()
    assert b'"reason":"overload","code":4006' in answer
    assert [line["log_level"] for line in logs] == ["warning", "info"]
    assert "limit of open files" in logs[0]["event"]
    assert not service.service.connected
    assert service.service.tally.closes == {(kind, "overload"): 1}


@pytest.mark.parametrize("kind", KINDS)
async def test_the_end_of_a_connection_is_one_line(make_live: MakeLive, kind: str) -> None:
    """Reason, duration and counts; no query string and no token in it."""
    service = await make_live(STREAM__CONNECTIONS_MAX="1")
    await service.publish("quotes.A", 1)
    secret = KINDS[kind].replace(
        b" HTTP", b"&_token=hush HTTP" if b"?" in KINDS[kind] else b" HTTP"
    )
    secret = secret.replace(b"Host: x", b"Host: x\r\nAuthorization: Bearer hush")
    with capture_logs() as logs:
        async with connect(service, secret) as wire:
            first = await open_stream(wire, kind)
            for number in range(5):
                await service.publish("trades.A", f"n{number}")
            await wire.up_to(b"n4")
            async with connect(service, KINDS[kind]) as other:
                await other.up_to(b"overload")
            await service.service.drain(0)
            await wire.up_to(b"closing")
        await until(lambda: not service.service.connected)

    away, end = [line for line in logs if line["log_level"] == "info"]
    assert (away["event"], away["reason"], away["transport"]) == ("turned away", "overload", kind)
    assert (end["event"], end["reason"], end["transport"]) == ("connection ended", "drain", kind)
    assert (end["updates"], end["channels"], end["remote"]) == (6, 2, "127.0.0.1")
    assert end["patterns"] == ["quotes.A", "trades.A"]
    assert f'"connection":"{end["connection"]}"'.encode() in first, "the client can say which it is"
    assert "bound" not in end, "no bound was in its way"
    assert 0 <= end["duration_s"] < 10
    assert "hush" not in str(logs)
    assert "channels=" not in str(logs)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_that_was_too_slow_can_be_found(
    make_live: MakeLive, kind: str, over: dict[str, str]
) -> None:
    """Which bound it reached, what waited, who it is and from where, in the one line."""
    feed = {"name": "trades", "bind": ["trades.#"], "delivery": "lossless", "queue_updates_max": 10}
    quotes = {"name": "quotes", "bind": ["quotes.#"], "delivery": "conflated"}
    service = await make_live(**over, FEEDS=json.dumps([feed, quotes]))
    with capture_logs() as logs:
        async with connect(service, KINDS[kind], receive_bytes=4096) as wire:
            first = await open_stream(wire, kind)
            while service.service.connected:
                await service.publish("trades.A", "x" * 50_000)
                await asyncio.sleep(0.001)
    (end,) = [line for line in logs if line["event"] == "connection ended"]
    assert (end["reason"], end["bound"], end["waiting_updates"]) == (
        "slow", "queue_updates_max", 10,
    )  # fmt: skip
    assert end["waiting_bytes"] > 10 * 50_000
    assert end["patterns"] == ["quotes.A", "trades.A"]
    assert f'"connection":"{end["connection"]}"'.encode() in first


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("trusted", "remote"), [("[]", "127.0.0.1"), ('["127.0.0.0/8"]', "2001:db8::7")]
)
async def test_behind_a_trusted_proxy_the_log_names_the_client(
    make_live: MakeLive, kind: str, trusted: str, remote: str
) -> None:
    """Also one that is turned away; and nobody is believed unless it is said so."""
    service = await make_live(STREAM__CONNECTIONS_MAX="1", HTTP__TRUSTED_PROXIES=trusted)
    lists = (
        b"Host: x\r\nX-Forwarded-For: 203.0.113.1\r\nX-Forwarded-For: [2001:db8::7]:443, 127.1.1.1"
    )
    head = KINDS[kind].replace(b"Host: x", lists)
    with capture_logs() as logs:
        async with connect(service, head) as wire:
            await open_stream(wire, kind)
            async with connect(service, head) as other:
                await other.up_to(b"overload")
        await until(lambda: not service.service.connected)
    assert [(line["event"], line["remote"]) for line in logs] == [
        ("turned away", remote), ("connection ended", remote),
    ]  # fmt: skip


def sockets() -> int:
    """Sockets that this process has open."""
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            count += str(entry.readlink()).startswith("socket:")
    return count


async def visit(service: Live, number: int) -> None:
    """Come in one of many ways, and go in one of many."""
    kind = list(KINDS)[number % len(KINDS)]
    head = KINDS[kind]
    if kind != "ws.json":
        head = head.replace(b" HTTP", b"&interval_ms=%d HTTP" % (number % 7 * 1000))
    async with connect(service, head) as wire:
        how = number // 3 % 4
        if how == 0:  # before the answer
            wire.cut()
            return
        await open_stream(wire, kind)
        if how == 1:
            wire.cut()
        elif how == 2 and kind == "ws.json":
            wire.send_frame(PONG, b"")
            wire.send_frame(8, b"\x03\xe8")
            await wire.rest()


async def test_a_thousand_connects_and_cuts_leave_nothing_behind(
    service: Live, caplog: pytest.LogCaptureFixture
) -> None:
    """No task, timer, audience, backlog or socket; and nothing failed on the way."""
    await service.publish("quotes.A", 1)
    await visit(service, 1)
    await until(lambda: not service.service.connected and not transports(service))
    gc.collect()
    tasks, timers, open_sockets = len(asyncio.all_tasks()), timers_set(), sockets()
    is_over = asyncio.Event()

    async def feed() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            await service.publish("quotes.A", number)
            await service.publish("trades.A", number)
            await asyncio.sleep(0.002)

    with capture_logs() as logs:
        feeding = asyncio.create_task(feed())
        for start in range(0, 1000, 50):
            await asyncio.gather(*(visit(service, start + index) for index in range(50)))
        await until(lambda: not service.service.connected)
        is_over.set()
        await feeding
        await until(lambda: not transports(service), "transports are closed")
        await until(lambda: len(asyncio.all_tasks()) <= tasks, "tasks have ended")
        await until(lambda: sockets() <= open_sockets, "sockets are closed")

    assert not len(service.service.directory)
    assert not len(service.service.pump)
    assert not any(
        channel.audiences
        for feed in service.service.feeds.values()
        for channel in feed.channels.values()
    )
    assert [line for line in logs if line["log_level"] in ("warning", "error")] == []
    assert caplog.records == []
    gc.collect()
    assert timers_set() < timers + 20
    assert (
        sum(service.service.tally.closes.values())
        == sum(service.service.tally.connects.values())
        > 700
    )
