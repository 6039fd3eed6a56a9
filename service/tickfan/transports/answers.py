"""Answers of REST on their way to clients: what they hold, and how fast a client must read.

A stream leaves aiohttp, and has bounds of its own. An answer stays with aiohttp, which would
keep it for as long as its client does not read. Must not know what is in an answer.
"""

from __future__ import annotations

import fcntl
import math
import socket
import struct
import termios
from typing import TYPE_CHECKING

import structlog
from aiohttp import hdrs, web

from tickfan.core import closing
from tickfan.core.errors import Refusal
from tickfan.transports.errors import ErrorResponse, error_response
from tickfan.transports.server import written

if TYPE_CHECKING:
    import asyncio
    from collections import deque
    from collections.abc import Iterator

    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.typedefs import Handler

    from tickfan.transports.admission import Admission

log = structlog.get_logger("tickfan.http")

TAKEN_BYTES_MIN = 32 * 1024
"""What a client must take of its answer in each ``http.answer_timeout_s``, or all that is left.

A client that took a byte now and then would else hold an answer for days."""

FREE_BYTES = 16 * 1024
"""An answer up to this size is not counted, and always given: errors, probes, most values."""

UNSENT_BYTES = 128 * 1024
"""What the kernel may hold unsent of an answer; else it takes megabytes for each client."""

LOOKS = 4
"""How often a client is looked at within the time that it has."""


class Answers:
    """The answers of one listener that clients have not read yet: their bytes have a budget."""

    def __init__(self, admission: Admission, bytes_max: int, timeout_s: float) -> None:
        """``timeout_s``: within which a client must take TAKEN_BYTES_MIN of its answer."""
        self.admission = admission
        self.bytes_max = bytes_max
        self.held = 0  # bytes
        self.refused = 0
        self.cut: dict[str, int] = {closing.STALLED.name: 0, closing.DRAIN.name: 0}
        self._reason = closing.STALLED
        self._timeout_s = timeout_s
        self._writing: dict[Pending, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many are being written."""
        return len(self._writing)

    def __iter__(self) -> Iterator[Pending]:
        """Those that are being written."""
        return iter(self._writing)

    @web.middleware
    async def write(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Write each answer here and now: aiohttp would wait for its client for ever.

        The outermost middleware, so that it sees every answer of the handlers.
        """
        request[PENDING] = pending = Pending(self, request)
        try:
            response = await handler(request)
            if not response.prepared:
                response = pending.admitted(response)
                await pending.write(response)
            return response
        finally:
            pending.done()

    def hasten(self) -> None:
        """The process stops: who does not read has ``stream.closing_timeout_s``.

        An answer has no cursor to lose. Its client asks again, another replica.
        """
        if self._reason is closing.DRAIN:
            return
        self._reason = closing.DRAIN
        self._timeout_s = min(self._timeout_s, self.admission.limits.closing_timeout_s)
        for pending in self._writing:
            pending.begin_window(self.admission.loop.time())
        self.stop()
        if self._writing:
            self._look_later()

    def stop(self) -> None:
        """No more looks."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def begin(self, pending: Pending) -> None:
        """From now on its client must read."""
        pending.begin_window(self.admission.loop.time())
        self._writing[pending] = None
        if self._timer is None:
            self._look_later()

    def end(self, pending: Pending) -> None:
        """The kernel has all of it, or nobody wants it any more."""
        self.held -= pending.held
        self._writing.pop(pending, None)

    def _look_later(self) -> None:
        self._timer = self.admission.loop.call_later(self._timeout_s / LOOKS, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self.admission.loop.time()
        for pending in [*self._writing]:
            if pending.is_late(now, self._timeout_s):
                self._cut(pending)
        if self._writing:
            self._look_later()

    def _cut(self, pending: Pending) -> None:
        request, reason = pending.request, self._reason.name
        transport = request.transport
        if transport is None or transport.is_closing():
            return
        self.cut[reason] += 1
        log.info(
            "answer cut",
            reason=reason,
            path=request.path[:160],
            taken_bytes=max(0, _taken(request)),
            waiting_bytes=pending.held,
            remote=self.admission.remote_of(request),
        )
        transport.abort()


class Pending:
    """The answer to one request, from its first byte made until the kernel has the last."""

    __slots__ = ("_answers", "_since", "_taken", "held", "request")

    def __init__(self, answers: Answers, request: web.Request) -> None:
        self._answers = answers
        self.request = request
        self.held = 0  # bytes
        self._since = 0.0
        self._taken = 0

    def charge(self, size: int) -> None:
        """``size`` bytes more are held.

        Raises :class:`Refusal`: ``overload`` if all answers would hold more than
        ``http.answers_bytes_max``. It would not help to wait for clients that do not read: it
        takes their whole time, and another replica may have room. ``bad_field`` if this
        answer alone is larger.
        """
        answers = self._answers
        if self.held + size > answers.bytes_max:
            raise Refusal(
                "bad_field",
                f"the answer is larger than http.answers_bytes_max ({answers.bytes_max} bytes): "
                "ask for fewer by limit",
                "limit",
            )
        if answers.held + size > answers.bytes_max:
            answers.refused += 1
            raise Refusal(
                "overload",
                f"the answers that clients have not read yet hold http.answers_bytes_max "
                f"({answers.bytes_max} bytes): ask again later",
            )
        self.held += size
        answers.held += size

    def release(self, size: int) -> None:
        """``size`` bytes are on their way."""
        self.held -= size
        self._answers.held -= size

    def admitted(self, response: web.StreamResponse) -> web.StreamResponse:
        """The response, or the refusal in its place if it is too large for now."""
        body = response.body if isinstance(response, web.Response) else None
        if isinstance(body, bytes) and len(body) > FREE_BYTES:
            try:
                # One value may be larger than all answers: it comes if nobody else has any.
                self.charge(min(len(body), self._answers.bytes_max))
            except Refusal as refusal:
                self._answers.admission.tally.refusals[refusal.code] += 1
                response = error_response([refusal])
        if isinstance(response, ErrorResponse) and response.code == closing.OVERLOAD.name:
            retry_s = math.ceil(self._answers.admission.retry_ms() / 1000)
            response.headers.setdefault(hdrs.RETRY_AFTER, str(retry_s))
        return response

    async def write(self, response: web.StreamResponse) -> None:
        """Write all of it; returns early if the client has gone, which aiohttp then sees."""
        if self.held > UNSENT_BYTES:
            _hold_little(self.request)
        self._answers.begin(self)
        try:
            await response.prepare(self.request)
            await response.write_eof()
        except ConnectionError:
            pass

    def done(self) -> None:
        """Nothing is held or waited for any more."""
        self._answers.end(self)
        self.held = 0

    def begin_window(self, now: float) -> None:
        """From ``now`` on the client has its time again."""
        self._since = now
        self._taken = _taken(self.request)

    def is_late(self, now: float, timeout_s: float) -> bool:
        """Whether the client has taken too little in its time."""
        if _taken(self.request) - self._taken >= TAKEN_BYTES_MIN:
            self.begin_window(now)
        return now - self._since > timeout_s


class Pieces(web.StreamResponse):
    """An answer made in pieces; each is let go of when it is written. See :func:`in_pieces`."""

    pieces: deque[bytes]
    pending: Pending

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """As the base; to HEAD the headers are all of it (RFC 9110, 9.3.2)."""
        if request.method == hdrs.METH_HEAD:
            self.pieces.clear()
        return await super().prepare(request)

    async def write_eof(self, data: bytes = b"") -> None:
        """Write the pieces, each when the kernel has taken those before it."""
        while self.pieces:
            piece = self.pieces.popleft()
            await self.write(piece)
            self.pending.release(len(piece))
        await super().write_eof(data)


def in_pieces(pieces: deque[bytes], pending: Pending) -> Pieces:
    """The answer of these pieces, which ``pending`` has been charged for."""
    response = Pieces()
    response.pieces, response.pending = pieces, pending
    response.content_length = sum(map(len, pieces))
    return response


PENDING = web.RequestKey("pending", Pending)


def _taken(request: web.Request) -> int:
    """Bytes of the answer that the client's machine has acknowledged.

    Only the kernel knows: its buffer may be large, and a slow client empties it for a
    minute before it takes anything more from us (``tcp(7)``, SIOCOUTQ). It may still hold
    some of an answer before this one, so this may begin below 0.
    """
    transport = request.transport
    if transport is None:
        return 0
    waiting = transport.get_write_buffer_size()
    sock = transport.get_extra_info("socket")
    try:
        unsent = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
    except (AttributeError, OSError, ValueError):  # no socket, or it is closed
        unsent = 0
    return written(request) - waiting - int(unsent)


def _hold_little(request: web.Request) -> None:
    transport = request.transport
    sock = None if transport is None else transport.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        except OSError:  # it is closed
            return
