"""The way in and the way out, for all transports: the socket, the log line, and what is left."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import resource
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from tests.support.live import until
from tests.support.raw import PONG, TEXT, connect, request, upgrade
from tickfan.core import closing
from tickfan.core.closing import REASONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.fixtures import MakeLive
    from tests.support.live import Live
    from tests.support.raw import Wire
    from tickfan.core.closing import Reason

QUERY = "channels=quotes.A,trades.A"
KINDS = {
    "sse": request(f"/v1/sse?{QUERY}"),
    "ndjson": request(f"/v1/ndjson?{QUERY}", version="1.0"),
    "ws.json": upgrade(),
}
SUBSCRIBE = b'{"op":"subscribe","channels":["quotes.A","trades.A"]}'


async def open_stream(wire: Wire, kind: str) -> None:
    """Read a stream up to its snapshot_end."""
    if kind == "ws.json":
        await wire.head()
        wire.send_frame(TEXT, SUBSCRIBE)
    await wire.up_to(b"snapshot_end")


def transports(live: Live) -> list[asyncio.Transport]:
    """The transports of the server's side."""
    runner = live.client.server.runner
    assert runner is not None
    assert runner.server is not None
    return [each.transport for each in runner.server.connections if each.transport is not None]


@pytest.mark.parametrize("kind", KINDS)
async def test_the_kernel_holds_little_back_for_a_stream(make_live: MakeLive, kind: str) -> None:
    """TCP_NOTSENT_LOWAT is set; TCP_USER_TIMEOUT, which kills the living, is not."""
    service = await make_live(STREAM__NOTSENT_LOWAT_BYTES="12345")
    async with connect(service, KINDS[kind]) as wire:
        await open_stream(wire, kind)
        [transport] = transports(service)
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 12345
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["refuses", "takes another"])
async def test_without_its_bound_a_connection_is_not_served(
    service: Live, kind: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Megabytes of old prices would wait where nothing can replace them; the log says why."""
    options = {"refuses": "setsockopt", "takes another": "getsockopt"}
    real = getattr(socket.socket, options[how])

    def kernel(sock: socket.socket, level: int, option: int, *values: int) -> int | None:
        if (level, option) == (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT):
            if how == "refuses":
                raise OSError(errno.ENOPROTOOPT, "Protocol not available")
            return 2**32 - 1
        found: int | None = real(sock, level, option, *values)
        return found

    # No kernel that the tests run on is such a one.
    monkeypatch.setattr(socket.socket, options[how], kernel)
    with capture_logs() as logs:
        async with connect(service, KINDS[kind]) as wire:
            await wire.up_to(b'"reason":"internal","code":4008')
    assert not service.service.connected
    assert not service.hub.tally.connects
    told = [line for line in logs if line["event"] != "turned away"]
    if how == "refuses":
        assert [line["detail"] for line in told] == ["[Errno 92] Protocol not available"]
    else:
        assert [(line["log_level"], line["asked"], line["has"]) for line in told] == [
            ("error", 16_384, 2**32 - 1)
        ]


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
    assert not service.hub.tally.connects


@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_that_does_not_read_holds_up_no_goodbye(
    make_live: MakeLive, kind: str
) -> None:
    """What cannot be written within closing_timeout_s ends in an abort; nothing stays."""
    service = await make_live(STREAM__CLOSING_TIMEOUT_S="0.2")
    async with connect(service, KINDS[kind], receive_bytes=4096) as wire:
        await open_stream(wire, kind)
        [transport] = transports(service)
        while transport.get_write_buffer_size() < 10_000:
            await service.publish("trades.A", "x" * 50_000)
            await asyncio.sleep(0.001)
        held = transport.get_write_buffer_size()
        await service.service.drain(0)
        await until(lambda: not transports(service), seconds=2)
    assert held <= 128 * 1024
    assert not service.service.connected
    assert not len(service.hub.pump)


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
    assert service.hub.tally.closes == {(kind, "overload"): 1}


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
            await open_stream(wire, kind)
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
    assert 0 <= end["duration_s"] < 10
    assert "hush" not in str(logs)
    assert "channels=" not in str(logs)


async def test_a_delay_has_jitter(service: Live) -> None:
    """Half to one and a half of retry_ms: a cut brings no storm."""
    delays = {service.service.doors.retry_ms() for _ in range(500)}
    assert min(delays) >= 1000
    assert max(delays) <= 3000
    assert len(delays) > 100


@pytest.mark.parametrize("reason", REASONS.values(), ids=REASONS)
async def test_every_reason_can_be_told(service: Live, reason: Reason) -> None:
    """Only those below 4500 name a time to come back."""
    fields = service.service.doors.closing_fields(reason)
    assert (fields["reason"], fields["code"]) == (reason.name, reason.code)
    assert (fields["retry_ms"] is not None) == (reason.code < 4500)


async def test_who_may_come_in(make_live: MakeLive) -> None:
    """Draining before overload before starting; conflated does not wait for the start."""
    service = await make_live(BROKER__URL="amqp://guest:guest@127.0.0.1:1")
    doors = service.service.doors
    assert doors.refuses(lossless=False) is None
    assert doors.refuses(lossless=True) is closing.STARTING
    doors.limits = doors.limits._replace(connections_max=0)
    assert doors.refuses(lossless=True) is closing.OVERLOAD
    doors.is_draining = True
    assert doors.refuses(lossless=True) is closing.DRAIN


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
    hub = service.hub
    await service.publish("quotes.A", 1)
    await visit(service, 1)
    await until(lambda: not service.service.connected and not transports(service))
    tasks, open_sockets = len(asyncio.all_tasks()), sockets()
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

    assert not len(hub.directory)
    assert not len(hub.pump)
    assert not any(
        channel.audiences for feed in hub.feeds.values() for channel in feed.channels.values()
    )
    assert [line for line in logs if line["log_level"] in ("warning", "error")] == []
    assert caplog.records == []
    loop = asyncio.get_running_loop()
    gc.collect()
    timers = [handle for handle in getattr(loop, "_scheduled", ()) if not handle.cancelled()]
    assert len(timers) < 20, timers
    assert sum(hub.tally.closes.values()) == sum(hub.tally.connects.values()) > 700
