"""How a connection to RabbitMQ is opened, watched and given up.

Must not know feeds, queues or what travels over a connection.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import structlog
from aio_pika import Connection
from aio_pika.connection import make_url
from aiormq.connection import TransportFactory
from aiormq.exceptions import ConnectionInternalError
from yarl import URL

from tickfan.broker.amqp.causes import CLOSED, LOST, NOT_CONNECTED, cause, ended, reason
from tickfan.broker.amqp.incoming import TURN_S, Incoming
from tickfan.broker.base import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from aiormq.abc import AbstractChannel, AbstractConnection

_log = structlog.get_logger()
# Methods of class 10: close, blocked, unblocked.
_CLOSE, _BLOCKED, _UNBLOCKED = b"\x00\x0a\x00\x32", b"\x00\x0a\x00\x3c", b"\x00\x0a\x00\x3d"
CLOSE_TIMEOUT_S = 1.0
"""How long a peer may take over the closing handshake before it is cut off."""


@dataclass(frozen=True, slots=True)
class AmqpOptions:
    """How to reach RabbitMQ and what may be declared there.

    ``urls``: ``amqp://user:password@host:port/vhost`` or ``amqps://``, tried in
    rotated order. ``declare`` says which parts may be made, ``exchange`` (with
    its witness), ``streams`` and ``witness``; True is all, False none. What may not be made
    is only checked to exist; a conflated feed's own queue is made and bound in any case. The TLS
    settings are for ``amqps``: a CA file (None: the system's), the client's
    certificate and key, and whether the server's certificate and host name are
    verified. All files are read again at each connect, so renewed certificates
    need no restart. ``quiet_s`` is how long a stream may be silent before its
    consumer has to prove itself. ``hole_max``: so many offsets may be missing
    between two messages of a stream without a doubt. RabbitMQ takes one for itself
    when it begins a segment, so a reader that misses a segment misses two at least.
    """

    urls: tuple[str, ...]
    declare: bool | tuple[str, ...]
    tls_ca_file: str | None
    tls_cert_file: str | None
    tls_key_file: str | None
    tls_verify: bool
    heartbeat_s: int
    backoff_first_s: float
    backoff_max_s: float
    probe_interval_s: float
    probe_timeout_s: float
    publish_timeout_s: float
    connect_timeout_s: float = 5.0
    quiet_s: float = 5.0
    connection_name: str = "tickfan"
    hole_max: int = 1

    def may_make(self, part: Literal["exchange", "streams", "witness"]) -> bool:
        """Whether this part of what must exist in RabbitMQ may be made."""
        return self.declare if isinstance(self.declare, bool) else part in self.declare

    def tls_context(self) -> ssl.SSLContext:
        """The context for ``amqps``. Raises :class:`OSError` for a bad file."""
        context = ssl.create_default_context(cafile=self.tls_ca_file)
        if self.tls_cert_file:
            context.load_cert_chain(self.tls_cert_file, self.tls_key_file)
        if not self.tls_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


class LinkLost(SourceError):
    """There is no connection, or no longer; the text says why."""

    cause = LOST


class Backoff:
    """Growing waits with jitter, so that replicas do not come back as one."""

    def __init__(self, options: AmqpOptions) -> None:
        self._first = options.backoff_first_s
        self._max = options.backoff_max_s
        self._ceiling = self._first

    def next(self) -> float:
        """The next wait in seconds: half to all of a ceiling that doubles."""
        ceiling, self._ceiling = self._ceiling, min(self._ceiling * 2, self._max)
        return ceiling * random.uniform(0.5, 1.0)

    def after(self, lived_s: float) -> float:
        """The next wait, starting over if what ended now lived long enough."""
        if lived_s > self._max:
            self._ceiling = self._first
        return self.next()


class Dialer(TransportFactory):
    """Opens the socket, and keeps the transport so that it can be cut locally."""

    def __init__(
        self, tls: ssl.SSLContext | None, timeout_s: float, turn_s: float = TURN_S
    ) -> None:
        self.incoming = Incoming(turn_s=turn_s)
        self._tls = tls
        self._timeout_s = timeout_s
        self._transport: asyncio.WriteTransport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self.refusal: LinkLost | None = None
        """What RabbitMQ has said while the connection was being opened."""
        self.incoming.on_control = self._on_control

    async def create(
        self, url: URL, **_kwargs: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect within the time-out, which also bounds the AMQP handshake."""
        loop = asyncio.get_running_loop()
        reader = self.incoming
        # What asyncio.open_connection does, with a reader of our own.
        assert url.host is not None
        assert url.port is not None
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        async with asyncio.timeout(self._timeout_s):
            self._transport, _ = await loop.create_connection(
                lambda: protocol, url.host, url.port, ssl=self._tls
            )
        self._deadline = loop.call_later(self._timeout_s, self._transport.abort)
        return reader, asyncio.StreamWriter(self._transport, protocol, reader, loop)

    def _on_control(self, method: bytes) -> None:
        """Note the words of a refusal: the library does not tell all of them."""
        if method.startswith(_CLOSE):
            code = int.from_bytes(method[4:6], "big")
            text = str(method[7 : 7 + method[6]], "utf-8", "replace")
            self.refusal = LinkLost(f"{text} (AMQP reply code {code})", ended(code, text))

    def established(self) -> None:
        """The handshake is done: no deadline any more."""
        if self._deadline is not None:
            self._deadline.cancel()

    def abort(self) -> None:
        """Cut the socket at once, waiting for nobody."""
        self.established()
        if self._transport is not None:
            self._transport.abort()


class _Connection(Connection):
    """aio-pika's plain connection, over a socket that we can cut."""

    def __init__(self, url: URL, dialer: Dialer, tls: ssl.SSLContext | None, name: str) -> None:
        super().__init__(url, ssl_context=tls, client_properties={"connection_name": name})
        self.kwargs["transport_factory"] = dialer


class Link:
    """One open connection, until it is lost for good."""

    def __init__(self, connection: Connection, dialer: Dialer, host: str) -> None:
        assert connection.transport is not None
        self.host = host
        self.incoming = dialer.incoming
        self._connection = connection
        self._dialer = dialer
        self._amqp: AbstractConnection = connection.transport.connection
        self._aborted: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.blocked = ""
        """Why RabbitMQ takes no messages now; "": it does."""
        self.incoming.on_broken = self.abort
        self.incoming.on_control = self._on_control

    @property
    def peer(self) -> str:
        """What answers there: ``RabbitMQ 3.10.8``."""
        told = self._amqp.server_properties
        return " ".join(str(told[name]) for name in ("product", "version") if name in told)

    @property
    def channels_max(self) -> int:
        """How many channels it takes at a time."""
        return self._amqp.connection_tune.channel_max or 65_535

    @property
    def is_lost(self) -> bool:
        """Whether nothing can be said over it any more."""
        return self._aborted.done() or self._amqp.is_closed

    @property
    def is_crash(self) -> bool:
        """Whether RabbitMQ has closed it for an error of its own (reply code 541)."""
        closing = self._amqp.closing
        return (
            closing.done()
            and not closing.cancelled()
            and isinstance(closing.exception(), ConnectionInternalError)
        )

    async def channel(self, *, confirms: bool = False) -> AbstractChannel:
        """A new AMQP channel: aiormq's own."""
        return await self._amqp.channel(publisher_confirms=confirms)

    async def gone(self) -> str:
        """Wait until the connection is lost; say why."""
        closing = self._amqp.closing
        await asyncio.wait({closing, self._aborted}, return_when=asyncio.FIRST_COMPLETED)
        if self._aborted.done():
            return f"{self.host}: {self._aborted.result()}"
        error = None if closing.cancelled() else closing.exception()
        return f"{self.host}: {reason(error)}"

    def _on_control(self, method: bytes) -> None:
        """Note whether RabbitMQ takes messages (its extensions ``connection.blocked``)."""
        if method.startswith(_BLOCKED):
            why = str(method[len(_BLOCKED) + 1 :], "utf-8", "replace")
            self.blocked = why or "no reason given"
            _log.warning("RabbitMQ takes no messages", host=self.host, why=self.blocked)
        elif method.startswith(_UNBLOCKED):
            self.blocked = ""
            _log.info("RabbitMQ takes messages again", host=self.host)

    def abort(self, why: str) -> None:
        """Give the connection up locally: its peer does not answer."""
        if not self._aborted.done():
            self._aborted.set_result(why)
        self._dialer.abort()

    async def close(self) -> None:
        """Close it, in order if the peer plays along within the time-out."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(CLOSE_TIMEOUT_S, self._dialer.abort)
        try:
            await self._connection.close()
        finally:
            timer.cancel()


class Hosts:
    """The configured hosts, tried in turn: each new try begins after the last."""

    def __init__(self, options: AmqpOptions, purpose: str, turn_s: float = TURN_S) -> None:
        """``turn_s``: see :class:`~tickfan.broker.amqp.incoming.Incoming`."""
        self._options = options
        self._turn_s = turn_s
        self._name = f"{options.connection_name} {purpose}"
        self._next = 0

    async def dial(self) -> Link:
        """Connect to the first host that answers; try each of them once.

        Raises :class:`LinkLost` with what each of them said.
        """
        said: list[str] = []
        causes: set[str] = set()
        for _ in self._options.urls:
            url = URL(self._options.urls[self._next])
            self._next = (self._next + 1) % len(self._options.urls)
            host = f"{url.host}:{url.port or ''}".rstrip(":")
            try:
                return await self._open(url, host)
            except Exception as error:  # noqa: BLE001 - any failure means: the next host
                said.append(f"{host}: {reason(error)}")
                # What was never there is not lost: nobody should wait for it to come back.
                causes.add(CLOSED if (name := cause(error)) == LOST else name)
        raise LinkLost("; ".join(said), f"{NOT_CONNECTED}: {', '.join(sorted(causes))}")

    async def _open(self, url: URL, host: str) -> Link:
        options = self._options
        tls = None
        if url.scheme == "amqps":
            try:
                tls = await asyncio.to_thread(options.tls_context)
            except OSError as error:
                raise LinkLost(f"{reason(error)} (a file of broker.tls_*)", "TLS files") from error
        dialer = Dialer(tls, options.connect_timeout_s, self._turn_s)
        full_url = make_url(url, heartbeat=options.heartbeat_s)
        connection = _Connection(full_url, dialer, tls, self._name)
        try:
            await connection.connect()
        except BaseException as error:
            dialer.abort()
            await connection.close()
            if isinstance(error, Exception) and dialer.refusal is not None:
                raise dialer.refusal from error
            raise
        dialer.established()
        return Link(connection, dialer, host)


async def answer(
    call: Coroutine[Any, Any, Any], timeout_s: float, progress: Callable[[], int]
) -> Any:
    """Await ``call`` as long as the peer shows any life; else :class:`LinkLost`.

    ``progress`` counts what has been received otherwise: an answer may queue
    behind a large delivery. The time is taken in two halves, so that a stall
    of our own loop is not blamed on the peer: what came in meanwhile is read
    before the second half is over.
    """
    task = asyncio.ensure_future(call)
    try:
        silent_halves = 0
        while silent_halves < 2:
            seen = progress()
            done, _ = await asyncio.wait({task}, timeout=timeout_s / 2)
            if task.cancelled():  # by aiormq, as it does with a dying channel's calls
                raise ConnectionError("the call was cut off")
            if done:
                return task.result()
            silent_halves = silent_halves + 1 if progress() == seen else 0
    finally:
        task.cancel()
    raise LinkLost(f"no answer within {timeout_s:g} s")


def raise_if_cancelled() -> None:
    """Raise CancelledError if this task was told to stop.

    Where a call of the library is cancelled and fails in the same turn, only its error
    comes out. Whoever goes on after any error asks here first. Not for a task that has
    used a task group of Python 3.11: that leaves the count of cancellations raised.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
