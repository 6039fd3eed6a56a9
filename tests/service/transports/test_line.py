"""The line, over real sockets, on both event loops, without TLS and with it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import socket
import ssl
import struct
import termios
from array import array
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
import uvloop

from loadtest.rig.waiting import DEADLINE_S, until
from tickfan.transports.certificate import Certificate
from tickfan.transports.line import Line, take_over
from tickfan.transports.tlsline import Tls, TlsLine

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from tests.support.tls import Certificates

T = TypeVar("T")

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Protocol(asyncio.Protocol):
    """Remembers what it is told."""

    paused = 0

    def __init__(self) -> None:
        self.received = bytearray()
        self.lost: list[Exception | None] = []
        self.fails = False

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.fails:
            raise ZeroDivisionError

    def pause_writing(self) -> None:
        self.paused += 1

    def resume_writing(self) -> None:
        self.paused -= 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


class Ends:
    """A line, its protocol, and the client's socket."""

    line: Line

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.client = socket.socket()
            self.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self.client.connect(server.getsockname())
            self.client.setblocking(False)
            self.own, _ = server.accept()
        self.own.setblocking(False)
        self.own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        self.protocol = Protocol()
        self.fd = self.own.fileno()

    async def begin(self, tls: Tls | None) -> None:
        """Make the line, with TLS as a transport that has been taken over."""
        loop = asyncio.get_running_loop()
        if tls is None:
            self.line = Line(loop, self.own, self.protocol)
            return
        line = self.line = TlsLine(loop, self.own, self.protocol, tls)
        context = ssl.create_default_context(cafile=tls.certificate.files[0])
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.check_hostname = False
        client = self.client = context.wrap_socket(self.client, do_handshake_on_connect=False)
        async with asyncio.timeout(DEADLINE_S):
            await self._turns(client.do_handshake)
            while line.is_shaking:  # noqa: ASYNC110 - the client is a step ahead
                await asyncio.sleep(0)
        line.take_over(self.protocol)

    def fill(self) -> bytes:
        """Write until something waits; what was written."""
        written = bytearray()
        while not self.line.get_write_buffer_size():
            piece = os.urandom(10_000)
            self.line.write(piece)
            written += piece
        return bytes(written)

    async def read(self, size: int | None = None) -> bytes:
        """So much, or up to the end; a reset is an end."""
        got = bytearray()
        with suppress(ConnectionResetError):
            while size is None or len(got) < size:
                piece = await asyncio.wait_for(
                    self._turns(lambda: self.client.recv(4096)), DEADLINE_S
                )
                if not piece:
                    break
                got += piece
        return bytes(got)

    async def _turns(self, call: Callable[[], T]) -> T:
        """What it returns when it does not have to wait."""
        while True:
            try:
                return call()
            except (BlockingIOError, ssl.SSLWantReadError):
                await asyncio.sleep(0.001)

    async def over(self) -> None:
        await until(lambda: self.protocol.lost)


def files_open() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Run:
    """One kind of loop and of line; what fails in a callback is kept."""

    def __init__(self, kind: str, tls: Certificate | None) -> None:
        self._loop = LOOPS[kind]()
        self._ends: list[Ends] = []
        self._tls = None
        if tls is not None:
            self._tls = Tls(tls, self._loop.call_soon, Counter(), b"")
        self.failures: list[type[BaseException]] = []
        self._loop.set_exception_handler(
            lambda _loop, context: self.failures.append(type(context["exception"]))
        )

    def __call__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._loop.run_until_complete(coroutine)

    async def ends(self) -> Ends:
        ends = Ends()
        self._ends.append(ends)
        await ends.begin(self._tls)
        return ends

    def close(self) -> None:
        for ends in self._ends:
            ends.client.close()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()


@pytest.fixture(params=LOOPS)
def loop_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture(params=["plain", "tls"])
def run(
    request: pytest.FixtureRequest, loop_kind: str, certificates: Certificates
) -> Iterator[Run]:
    tls = Certificate(certificates.server_cert, certificates.server_key)
    run = Run(loop_kind, tls if request.param == "tls" else None)
    yield run
    run.close()
    assert run.failures == []


@pytest.fixture
def plain(loop_kind: str) -> Iterator[Run]:
    run = Run(loop_kind, None)
    yield run
    run.close()
    assert run.failures == []


def test_what_is_sent_is_with_the_kernel_at_once(run: Run) -> None:
    """No turn of the loop in between."""

    async def go() -> None:
        ends = await run.ends()
        assert ends.line.send(b"now") == 3
        assert ends.client.recv(10) == b"now"
        ends.line.write(b"this, too")
        assert ends.client.recv(10) == b"this, too"
        assert ends.line.get_write_buffer_size() == 0
        ends.line.abort()
        await ends.over()

    run(go())


def test_what_the_client_has_received_is_counted(run: Run) -> None:
    """By the kernel; of a line that is over nothing."""

    async def go() -> None:
        ends = await run.ends()
        before = ends.line.received_bytes()
        ends.line.write(b"x" * 1000)
        await until(lambda: ends.line.received_bytes() >= before + 1000, "the acknowledgement")
        ends.line.abort()
        assert ends.line.received_bytes() == 0
        await ends.over()

    run(go())


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_lost_or_swapped_however_it_is_written(run: Run, seed: int) -> None:
    """Sends and writes in any order and size, to a client that reads at its own pace."""

    async def go() -> None:
        pick = random.Random(seed)
        ends = await run.ends()
        written, got = bytearray(), bytearray()
        while len(written) < 300_000:
            piece = pick.randbytes(pick.randrange(1, 20_000))
            if pick.random() < 0.5:
                ends.line.write(piece)
            else:
                try:
                    sent = ends.line.send(piece)
                except BlockingIOError:
                    sent = 0
                piece = piece[:sent]
            written += piece
            if pick.random() < 0.6:
                got += await ends.read(pick.randrange(1, 8_000) if len(written) > len(got) else 0)
        ends.line.close()
        got += await ends.read()
        assert got == written
        await ends.over()
        assert ends.protocol.lost == [None]

    run(go())


def test_what_waits_keeps_its_place(run: Run) -> None:
    """While something waits nobody can send past it; then they can again."""

    async def go() -> None:
        ends = await run.ends()
        written = ends.fill()
        with pytest.raises(BlockingIOError):
            ends.line.send(b"past it")
        assert (await ends.read(len(written))) == written
        await until(lambda: not ends.line.get_write_buffer_size())
        assert ends.protocol.paused == 0
        assert ends.line.send(b"again") == 5
        assert await ends.read(5) == b"again"
        ends.line.abort()
        await ends.over()

    run(go())


def test_close_writes_what_waits_and_takes_no_more(run: Run) -> None:
    """Then the protocol is told, once."""

    async def go() -> None:
        ends = await run.ends()
        written = ends.fill()
        ends.line.close()
        assert ends.line.is_closing()
        for write in (ends.line.send, ends.line.write):
            with pytest.raises(ConnectionAbortedError):
                write(b"too late")
        assert not ends.protocol.lost
        assert await ends.read() == written
        await ends.over()
        ends.line.close()
        ends.line.abort()
        await asyncio.sleep(0)
        assert ends.protocol.lost == [None]

    run(go())


@pytest.mark.parametrize("is_closed", [False, True])
def test_abort_drops_what_waits(run: Run, *, is_closed: bool) -> None:
    """Also after a close that a client does not let end."""

    async def go() -> None:
        ends = await run.ends()
        written = ends.fill()
        if is_closed:
            ends.line.close()
        ends.line.abort()
        await ends.over()
        assert ends.protocol.lost == [None]
        assert len(await ends.read()) < len(written)

    run(go())


def test_what_comes_is_received_unless_paused(run: Run) -> None:
    """In order; a pause leaves it to the kernel."""

    async def go() -> None:
        ends = await run.ends()
        ends.client.send(b"one")
        await until(lambda: ends.protocol.received == b"one")
        ends.line.pause_reading()
        assert not ends.line.is_reading()
        ends.client.send(b"two")
        for _ in range(5):
            await asyncio.sleep(0)
        assert ends.protocol.received == b"one"
        ends.line.resume_reading()
        await until(lambda: ends.protocol.received == b"onetwo")
        ends.line.close()
        ends.line.resume_reading()
        assert not ends.line.is_reading()
        await ends.over()

    run(go())


def test_a_client_that_goes_is_noticed(run: Run) -> None:
    """By its FIN, or by its reset; and who writes meanwhile is told."""

    async def go() -> None:
        ends = await run.ends()
        ends.client.close()
        await ends.over()
        assert ends.protocol.lost == [None]

        ends = await run.ends()
        linger = struct.pack("ii", 1, 0)
        ends.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        ends.client.close()
        with suppress(ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
            while ends.line.send(b"x"):
                pass
        ends.line.abort()
        await ends.over()

    run(go())


@pytest.mark.parametrize("has_unread", [False, True])
def test_a_reset_behind_a_last_word_is_noticed(run: Run, *, has_unread: bool) -> None:
    """The kernel sends one for a client that closes without reading all; libuv asks only once."""

    async def go() -> None:
        ends = await run.ends()
        await asyncio.sleep(0.01)  # the loop has begun to watch
        if has_unread:
            ends.line.write(b"unread")
        else:
            ends.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ends.client.send(b"a last word")
        ends.client.close()
        await ends.over()
        assert ends.protocol.received == b"a last word"

    run(go())


def test_all_that_came_before_a_reset_is_received(run: Run) -> None:
    """Also if it is more records than are read in one turn of the loop."""

    def unsent(sock: socket.socket) -> int:
        size = array("i", [0])
        fcntl.ioctl(sock, termios.TIOCOUTQ, size)
        return size[0]

    async def go() -> None:
        ends = await run.ends()
        ends.line.pause_reading()
        for _ in range(40):
            ends.client.send(b"a word")
        await until(lambda: not unsent(ends.client))
        ends.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ends.client.close()
        ends.line.resume_reading()
        await ends.over()
        assert ends.protocol.received == b"a word" * 40

    run(go())


def test_a_reset_ends_what_waits(run: Run) -> None:
    """Whichever of its two sides sees it first."""

    async def go() -> None:
        for is_paused in (False, True):
            ends = await run.ends()
            ends.fill()
            if is_paused:
                ends.line.pause_reading()
            linger = struct.pack("ii", 1, 0)
            ends.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            ends.client.close()
            await ends.over()
            assert isinstance(ends.protocol.lost[0], OSError)
            assert ends.line.get_write_buffer_size() == 0

    run(go())


def test_a_protocol_that_fails_ends_its_connection(run: Run) -> None:
    """And the failure is reported to the loop."""

    async def go() -> None:
        ends = await run.ends()
        ends.protocol.fails = True
        ends.client.send(b"x")
        await ends.over()
        assert await ends.read() == b""

    run(go())
    assert run.failures == [ZeroDivisionError]
    run.failures.clear()


def test_a_line_that_is_over_never_reaches_who_comes_next(run: Run) -> None:
    """The kernel gives its number to the next connection: nothing may be written to it."""

    async def go() -> None:
        ends = await run.ends()
        send = ends.line.send
        ends.line.abort()
        left, right = socket.socketpair()
        with left, right:
            assert ends.fd in (left.fileno(), right.fileno())
            for write in (send, ends.line.send, ends.line.write):
                with pytest.raises(OSError, match=r"closed|descriptor"):
                    write(b"not yours")
            for other in (left, right):
                other.setblocking(False)
                with pytest.raises(BlockingIOError):
                    other.recv(10)
        await ends.over()

    run(go())


def test_a_transport_is_taken_over(plain: Run) -> None:
    """Its connection goes on, with the same file limits as before: one file, not two."""

    async def go() -> None:
        loop = asyncio.get_running_loop()
        first = Protocol()
        made: asyncio.Future[asyncio.Transport] = loop.create_future()
        first.connection_made = made.set_result  # type: ignore[method-assign,assignment]
        server = await loop.create_server(lambda: first, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        transport = await made
        transport.set_write_buffer_limits(0)
        transport.write(b"by the transport, ")
        second = Protocol()
        files = files_open()
        line = take_over(loop, transport, second)
        line.write(b"by the line")
        assert await reader.readexactly(29) == b"by the transport, by the line"
        writer.write(b"an answer")
        await until(lambda: second.received == b"an answer")
        assert files_open() == files
        assert first.lost == []
        assert not first.received
        with pytest.raises(ConnectionAbortedError, match="gone"):
            take_over(loop, transport, second)
        line.close()
        assert await reader.read() == b""
        writer.close()
        server.close()
        await until(lambda: second.lost)

    plain(go())


def test_a_transport_with_bytes_left_is_not_taken_over(plain: Run) -> None:
    """They would be lost between the two."""

    async def go() -> None:
        loop = asyncio.get_running_loop()
        made: asyncio.Future[asyncio.Transport] = loop.create_future()
        protocol = Protocol()
        protocol.connection_made = made.set_result  # type: ignore[method-assign,assignment]
        server = await loop.create_server(lambda: protocol, "127.0.0.1", 0)
        client = socket.create_connection(server.sockets[0].getsockname())
        transport = await made
        while not transport.get_write_buffer_size():
            transport.write(bytes(100_000))
            await asyncio.sleep(0)
        with pytest.raises(ConnectionAbortedError, match="not read"):
            take_over(loop, transport, Protocol())
        assert not transport.is_closing()
        transport.abort()
        client.close()
        server.close()
        await until(lambda: protocol.lost)

    plain(go())
