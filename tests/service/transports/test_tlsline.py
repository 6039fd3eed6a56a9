"""What a line with TLS has beside one without. What they share: test_line.py."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from loadtest.rig.waiting import DEADLINE_S, until
from tests.support.tls import trusting
from tickfan.transports.certificate import Certificate
from tickfan.transports.tlsline import RECORD_BYTES, Tls, TlsLine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.support.tls import Certificates

PLAIN = b"HTTP/1.1 400 No\r\n\r\n"


class Protocol(asyncio.Protocol):
    def __init__(self) -> None:
        self.made: asyncio.BaseTransport | None = None
        self.received = b""
        self.lost: list[Exception | None] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.made = transport

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


class Ends:
    """A line whose handshake has not begun, and the socket of its client."""

    def __init__(self, certificates: Certificates) -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.raw = socket.create_connection(server.getsockname())
            own, _ = server.accept()
        for each in (self.raw, own):
            each.setblocking(False)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.jobs: list[Callable[[], None]] = []
        self.counts: Counter[str] = Counter()
        self.protocol = Protocol()
        self.trust = trusting(certificates.ca)
        pair = Certificate(certificates.server_cert, certificates.server_key)
        self.line = TlsLine(
            loop, own, self.protocol, Tls(pair, self.jobs.append, self.counts, PLAIN)
        )
        self.client: ssl.SSLSocket | None = None

    async def shake(self) -> ssl.SSLSocket:
        """The client's side after the handshake, which tells a cut from an end."""
        # Debian's Python takes a cut for an end, unless it is told not to.
        self.trust.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        client = self.client = self.trust.wrap_socket(
            self.raw, server_hostname="127.0.0.1", do_handshake_on_connect=False,
            suppress_ragged_eofs=False,
        )  # fmt: skip
        await self.turns(client.do_handshake)
        await until(lambda: self.run_jobs() or not self.line.is_shaking)
        return client

    def run_jobs(self) -> bool:
        """Always false: it stands where a condition is waited for."""
        while self.jobs:
            self.jobs.pop(0)()
        return False

    async def turns(self, call: Callable[[], object]) -> object:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                self.run_jobs()
                try:
                    return call()
                except (BlockingIOError, ssl.SSLWantReadError):
                    await asyncio.sleep(0.001)

    def close(self) -> None:
        self.line.abort()
        (self.client or self.raw).close()


@pytest.fixture
async def ends(certificates: Certificates) -> AsyncIterator[Ends]:
    found = Ends(certificates)
    yield found
    found.close()
    await until(lambda: len(found.protocol.lost) == 1)


async def test_the_protocol_has_its_transport_before_the_handshake(ends: Ends) -> None:
    """So what is counted and timed for a socket is so from the accept on."""
    assert ends.protocol.made is ends.line
    assert ends.line.get_extra_info("sslcontext") is not None
    assert ends.line.get_extra_info("peername") == ends.raw.getsockname()
    assert ends.line.get_extra_info("sockname") == ends.raw.getpeername()
    assert ends.line.get_extra_info("nothing", 1) == 1


async def test_each_step_of_a_handshake_is_a_job(ends: Ends) -> None:
    """Thousands come at once after a restart, and a step holds the loop for a millisecond."""
    client = ends.trust.wrap_socket(
        ends.raw, server_hostname="127.0.0.1", do_handshake_on_connect=False
    )
    ends.client = client
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    await until(lambda: len(ends.jobs) == 1)
    for _ in range(5):  # the loop turns, and nothing is computed or queued again
        await asyncio.sleep(0)
    assert len(ends.jobs) == 1
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    await ends.turns(client.do_handshake)
    await until(lambda: ends.run_jobs() or ends.counts == {"done": 1})


async def test_what_is_written_and_comes_meanwhile_follows_the_handshake(ends: Ends) -> None:
    """In its order, on both sides."""
    ends.line.write(b"early")
    ends.line.write(b" and more")
    client = await ends.shake()
    client.send(b"hello")
    await until(lambda: ends.protocol.received == b"hello")
    assert await ends.turns(lambda: client.recv(100)) == b"early and more"


async def test_an_end_is_told_from_a_cut(ends: Ends, certificates: Certificates) -> None:
    """close says so in TLS (RFC 8446, section 6.1); abort does not."""
    client = await ends.shake()
    ends.line.write(b"all")
    ends.line.close()
    assert await ends.turns(lambda: client.recv(100)) == b"all"
    assert await ends.turns(lambda: client.recv(100)) == b""

    other = Ends(certificates)
    client = await other.shake()
    other.line.abort()
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        await other.turns(lambda: client.recv(100))
    other.close()
    await until(lambda: other.protocol.lost)


async def test_a_full_socket_takes_one_record_more_and_the_rest_waits(ends: Ends) -> None:
    """So much of old prices there is in TLS; the next write is refused."""
    client = await ends.shake()
    ends.line.take_over(ends.protocol)
    taken = 0
    while not (left := ends.line.get_write_buffer_size()):
        taken += ends.line.send(b"x" * 1000)
    assert left <= 1000 <= RECORD_BYTES
    with pytest.raises(BlockingIOError):
        ends.line.send(b"y")
    got = 0
    while got < taken:
        piece = await ends.turns(lambda: client.recv(RECORD_BYTES))
        assert isinstance(piece, bytes)
        got += len(piece)
    await until(lambda: not ends.line.get_write_buffer_size())
    assert ends.line.send(b"z") == 1


async def test_before_it_is_taken_over_a_write_does_not_raise(ends: Ends) -> None:
    """As transports of event loops: aiohttp does not expect it. The protocol is told."""
    await ends.shake()
    assert ends.client is not None
    ends.client.close()
    while not ends.protocol.lost:
        ends.line.write(b"x")
        await asyncio.sleep(0)
    ends.line.write(b"x")
    with pytest.raises(ConnectionAbortedError):
        ends.line.take_over(ends.protocol)


@pytest.mark.parametrize(
    ("sent", "result", "answer"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "plain", PLAIN),
        (b"POST /v1/sse HTTP/1.1\r\n\r\n" + b"x" * 10_000, "plain", PLAIN),
        (b"\x00\x01\x02\x03\x04\x05\x06\x07 no TLS", "failed", b""),
        (b"\x16\x03\x01\xff\xff" + b"\x00" * 100, "failed", b""),
    ],
)
async def test_what_is_no_tls_is_answered_or_cut(
    ends: Ends, sent: bytes, result: str, answer: bytes
) -> None:
    """HTTP gets words that it can read; and it is counted."""
    ends.raw.send(sent)
    await until(lambda: ends.run_jobs() or ends.protocol.lost)
    assert ends.counts == {result: 1}
    got = b""
    try:
        while piece := await ends.turns(lambda: ends.raw.recv(1000)):
            assert isinstance(piece, bytes)
            got += piece
    except ConnectionResetError:
        assert result == "failed"
    if answer:
        assert got == answer
    else:
        assert not got or got[0] == 0x15, "an alert at most (RFC 8446, section 6)"


async def test_who_goes_before_the_handshake_is_let_go(ends: Ends) -> None:
    """Its FIN is a handshake that fails."""
    ends.raw.close()
    await until(lambda: ends.run_jobs() or ends.protocol.lost)
    assert ends.counts == {"failed": 1}


async def test_a_close_before_the_handshake_is_a_cut(ends: Ends) -> None:
    """There is nobody to say anything to."""
    ends.line.close()
    await until(lambda: ends.protocol.lost)
    assert await ends.turns(lambda: ends.raw.recv(10)) == b""
