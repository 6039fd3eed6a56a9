"""The listeners' sockets: takes connections, few at a time, and none that is one too many.

The servers of event loops take all that wait in one turn, and only then say so to a
protocol. A storm then uses up the files of the process, which the admin listener and
RabbitMQ need, before anybody is asked. Here a connection is looked at as a bare socket:
to turn it away costs no protocol, no task and no file.
Must not know HTTP but for the bytes that turn somebody away.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from math import inf
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

import structlog

from tickfan.core.errors import Refusal
from tickfan.transports.errors import bare_answer
from tickfan.transports.tlsline import TlsLine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tickfan.core.tally import Tally
    from tickfan.transports.addresses import Address, Addresses
    from tickfan.transports.refused import Refused
    from tickfan.transports.tlsline import Tls

log = structlog.get_logger("tickfan.connection")

ACCEPTS_A_TURN = 16
"""Connections that are taken in one turn of the loop; each costs some 100 us."""

NO_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""What ``accept(2)`` fails with while the process or the machine has no room. The connection
goes on waiting, so another try at once would fail again."""

PAUSE_S = 1.0
"""How long nothing is accepted after that."""

SAID_S = 60.0
"""How often that is said, at most."""

LINGER_S = 1.0
"""How long a socket that was told why may stay open until its client closes. If it were closed
at once, a request that is on its way would make a reset of it, which overtakes the answer."""

LINGERING_MAX = 16
"""Sockets that are told why at the same time. Others are closed without a word: it is a flood."""

RETRY_AFTER_S = 5

ANSWERS = {
    code: bare_answer(Refusal(code, message), retry_after_s=RETRY_AFTER_S)
    for code, message in (
        ("overload", "this replica has as many sockets as it may (http.sockets_max); come back"),
        ("address_limit", "this address has http.sockets_per_address_max sockets; close some"),
    )
}
"""By code: the bytes that turn a socket away, before any request is read."""


class Limiter(NamedTuple):
    """What decides about a new connection."""

    addresses: Addresses
    refused: Refused
    tally: Tally


class Counted(Protocol):
    """The protocol of a connection, which counts until it is closed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As ``asyncio.Protocol``'s."""

    def uncount(self) -> None:
        """Count it no more. Idempotent."""


class Door:
    """Listening sockets, and who comes through them. As ``asyncio.Server`` to aiohttp."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        make: Callable[[Address | None], Counted],
        limiter: Limiter | None,
        *,
        tls: Tls | None = None,
    ) -> None:
        """``make`` makes the protocol of a connection, and is given what it counts for.

        Without a ``limiter`` all may come, and nobody is counted: the admin listener.
        """
        self.sockets = tuple(sockets)
        self._loop = asyncio.get_running_loop()
        self._make = make
        self._limiter = limiter
        self._tls = tls
        self._coming: set[asyncio.Task[None]] = set()
        self._lingering: dict[socket.socket, asyncio.TimerHandle] = {}
        self._pauses: dict[socket.socket, asyncio.TimerHandle] = {}
        self._said_at = -inf
        for sock in self.sockets:
            self._listen(sock)

    def close(self) -> None:
        """Listen no more. Connections that are open stay so."""
        for sock in self.sockets:
            self._loop.remove_reader(sock)
            if (pause := self._pauses.pop(sock, None)) is not None:
                pause.cancel()
            sock.close()
        self.sockets = ()
        for sock in list(self._lingering):
            self._end(sock)

    async def wait_closed(self) -> None:
        """Nothing goes on after :meth:`close`."""

    def _listen(self, sock: socket.socket) -> None:
        self._pauses.pop(sock, None)
        self._loop.add_reader(sock, self._accept, sock)

    def _accept(self, listening: socket.socket) -> None:
        """Take a few that wait; the loop calls again while there are more."""
        for _ in range(ACCEPTS_A_TURN):
            try:
                sock, peer = listening.accept()
            except OSError as error:
                if error.errno in NO_FILES:
                    self._pause(listening, error)
                return  # nobody waits, or who waited has gone
            sock.setblocking(False)
            self._admit(sock, peer[0])

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        self._loop.remove_reader(listening)
        self._pauses[listening] = self._loop.call_later(PAUSE_S, self._listen, listening)
        if self._limiter is not None:
            self._limiter.tally.sockets_refused["no_files"] += 1
        if (now := self._loop.time()) - self._said_at >= SAID_S:
            self._said_at = now
            log.error(
                "no file for a connection: nothing is accepted for a while",
                detail=str(error),
                pause_s=PAUSE_S,
                port=listening.getsockname()[1],
                hint="raise the limit of open files (ulimit -n), or lower http.sockets_max",
            )

    def _admit(self, sock: socket.socket, peer: str) -> None:
        address = None
        if self._limiter is not None:
            addresses = self._limiter.addresses
            code = addresses.why_no_socket(peer)
            if code is not None:
                self._turn_away(self._limiter, sock, code, peer)
                return
            address = addresses.open_socket(peer)
        protocol = self._make(address)
        if self._tls is not None:
            self._begin_tls(sock, protocol, self._tls)
            return
        task = self._loop.create_task(self._connect(sock, protocol))
        self._coming.add(task)
        task.add_done_callback(self._coming.discard)

    def _begin_tls(self, sock: socket.socket, protocol: Counted, tls: Tls) -> None:
        """Give the socket a transport with TLS; a client that has gone by now is let go."""
        try:
            TlsLine(self._loop, sock, cast("asyncio.Protocol", protocol), tls)
        except OSError as error:
            protocol.uncount()
            sock.close()
            log.debug("a connection could not be taken", detail=str(error))

    async def _connect(self, sock: socket.socket, protocol: Counted) -> None:
        """Give the socket its protocol, which counts it out when it is closed."""
        try:
            await self._loop.connect_accepted_socket(
                lambda: cast("asyncio.Protocol", protocol), sock
            )
        except BaseException as error:
            protocol.uncount()
            sock.close()
            if not isinstance(error, OSError):
                raise
            log.debug("a connection could not be taken", detail=str(error))

    def _turn_away(self, limiter: Limiter, sock: socket.socket, code: str, peer: str) -> None:
        limiter.tally.sockets_refused[code] += 1
        shares = limiter.addresses.shares
        limit = (
            {"sockets_max": shares.sockets_max}
            if code == "overload"
            else {"sockets_per_address_max": shares.sockets_per_address_max}
        )
        limiter.refused.tell("socket refused", reason=code, remote=peer, **limit)
        if self._tls is not None or len(self._lingering) >= LINGERING_MAX:
            sock.close()
            return
        try:
            sock.send(ANSWERS[code])
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            sock.close()
            return
        self._lingering[sock] = self._loop.call_later(LINGER_S, self._end, sock)
        self._loop.add_reader(sock, self._drop, sock)

    def _drop(self, sock: socket.socket) -> None:
        """Read what the client says; it has read the answer when it closes."""
        try:
            data = sock.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end(sock)

    def _end(self, sock: socket.socket) -> None:
        self._lingering.pop(sock).cancel()
        self._loop.remove_reader(sock)
        sock.close()


def listen(host: str, port: int, *, backlog: int, reuse_port: bool) -> list[socket.socket]:
    """Sockets that listen on each address of a host. Raises :class:`OSError`.

    With port 0 the system chooses one, and the other addresses get the same.
    """
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, kind, proto, _, address in dict.fromkeys(infos):
            sock = socket.socket(family, kind, proto)
            sockets.append(sock)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse_port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:  # else it would take the port of IPv4, too
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            own = sockets[0].getsockname()[1] if len(sockets) > 1 else port
            sock.bind((address[0], own, *address[2:]))
            sock.listen(backlog)
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets
