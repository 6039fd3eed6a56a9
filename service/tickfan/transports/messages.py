"""Takes the messages of one WebSocket's client, one after the other.

A message is a job of the slices. What it asks for may have to wait; then those behind it
wait, too. They also wait for a client that has used more than it may: its socket is not
read meanwhile, and nothing is lost. Must not know what a message says.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
from aiohttp import WebSocketError, WSCloseCode

from tickfan.core import closing
from tickfan.core.errors import Bound
from tickfan.transports import budget, frames
from tickfan.transports.budget import Budget
from tickfan.transports.frames import FrameReader
from tickfan.transports.guest import Guest

if TYPE_CHECKING:
    import asyncio

    from tickfan.core.closing import Reason
    from tickfan.session.membership import Connection
    from tickfan.transports.admission import Admission

log = structlog.get_logger("tickfan.websocket")

HARD_LIMIT = 4
"""The connection is closed above this many times ``message_bytes_max``; up to
it an oversize message gets an error by name and the connection lives on."""

ANSWERS_MAX = 16
"""Answers that wait for a client to read them, before its next message is taken."""
LOOK_S = 0.01

THROTTLED_LOOK_S = 1.0
"""How long a client that has used more than it may waits, before that is looked at again."""

SETTINGS = {
    budget.COMMANDS: "commands_per_s_max",
    budget.CONNECTION_COST: "cost_ms_per_s_max",
    budget.ADDRESS_COST: "cost_ms_per_address_per_s_max",
}
"""By the reason of a wait."""


class Messages(Guest):
    """One client's messages."""

    __slots__ = ("_budget", "_is_busy", "_pause", "_reader", "_task")

    def __init__(self, admission: Admission, name: str) -> None:
        super().__init__(admission, name)
        self._reader = FrameReader(admission.limits.message_bytes_max * HARD_LIMIT)
        # A message is to be taken, or waits for something: those behind it wait, too.
        self._is_busy = False
        # A command that waits for this replica to catch up, or for its search.
        self._task: asyncio.Task[None] | None = None
        self._budget = Budget()
        # While a message waits until what was used is paid.
        self._pause: asyncio.TimerHandle | None = None

    def answer(self, kind: int, data: bytes) -> None:
        """Do what a message asks for. ``kind`` is that of its frames."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        """Take what the client sends; as much at once as one message may be."""
        self._reader.add(data)
        if not self._is_busy:
            self._read_later()
        elif len(self._reader) > self._reader.size_max:
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed, by whomever."""
        super().connection_lost(exc)
        self.leave(closing.LOST)

    def leave(self, reason: Reason) -> None:
        """As the base; what waits is not done any more, but the client's goodbye is read."""
        super().leave(reason)
        task, self._task = self._task, None
        pause, self._pause = self._pause, None
        waits = task or pause
        if waits is not None:
            waits.cancel()
            self._read_later()

    def charge(self, cost_s: float) -> None:
        """As the base; the connection pays, too."""
        super().charge(cost_s)
        admission = self.admission
        self._budget.charge(admission.limits.allowance, admission.clock.time(), 0, cost_s)

    def charge_commands(self, number: int) -> None:
        """Let the connection pay as for so many commands."""
        admission = self.admission
        self._budget.charge(admission.limits.allowance, admission.clock.time(), number, 0)

    def _read_later(self) -> None:
        """Each message is a job of the slices, or many that come at once hold the loop."""
        self._is_busy = True
        self.admission.slices.add(self._read)

    def _read(self) -> None:
        """Take one message that is here; the next one after it, and what it waits for."""
        if self.transport.is_closing():
            return
        if self.connection is not None and self._has_to_wait(self.connection):
            return
        try:
            with self.admission.charged(self.charge):
                message = self._next()
                if message is not None:
                    self._take(*message)
        except WebSocketError as error:
            self._close(closing.BAD_REQUEST, error.code)
            return
        except Exception:
            log.exception("a conversation failed", **self.account())
            self.goodbye(closing.INTERNAL)
            return
        if self._task is not None:
            return
        if message is not None and len(self._reader):
            self._read_later()
            return
        self._is_busy = False
        if not self.transport.is_reading() and not self.transport.is_closing():
            self.transport.resume_reading()

    def _next(self) -> tuple[int, bytes] | None:
        """The next message, whose frames are counted: control frames, and those without data."""
        reader, admission = self._reader, self.admission
        message = reader.next()
        now = admission.clock.time()
        self._budget.charge(admission.limits.allowance, now, reader.frames, 0)
        return message

    def _has_to_wait(self, connection: Connection) -> bool:
        """Whether the next message has to come later; it is looked at again by a timer."""
        if connection.subscriber.events_waiting >= ANSWERS_MAX:
            # No more answers than it reads; who reads none ends by its stall timeout.
            self.admission.loop.call_later(LOOK_S, self._read_later)
            return True
        return bool(len(self._reader)) and self._is_over(connection)

    def _is_over(self, connection: Connection) -> bool:
        """Whether the client has used more than it may, and so waits; or goes, if that lasts."""
        self.settle()
        admission = self.admission
        now = admission.clock.time()
        reason, wait_s = self._budget.wait(self._client, now)
        if not wait_s:
            self._pause = None
            return False
        wait_s = min(wait_s, THROTTLED_LOOK_S)
        lasts_s = self._budget.lasts(now, now + wait_s)
        # What an address owes may be others': a whole office waits, and nobody is cut for it.
        is_own = reason != budget.ADDRESS_COST
        if is_own and lasts_s > admission.limits.allowance.throttled_timeout_s:
            connection.subscriber.end(closing.THROTTLED, bound=Bound(SETTINGS[reason]))
            return True
        # Bytes of it wait here: it is no client that is gone.
        connection.heard_at = now + wait_s
        admission.tally.throttled[reason] += self._pause is None
        admission.tally.throttled_s[reason] += wait_s
        if not lasts_s:
            admission.refused.tell("commands wait", reason=reason, remote=connection.remote)
        self._pause = admission.loop.call_later(wait_s, self._read_later)
        return True

    def _take(self, kind: int, body: bytes) -> None:
        if kind == frames.CLOSE:
            code = frames.close_code(body)
            if code == WSCloseCode.MESSAGE_TOO_BIG:
                self._too_big()
            self._close(closing.LEFT, code)
        elif self.connection is not None:
            self.connection.heard_at = self.admission.clock.time()
            if kind == frames.PING:
                self.connection.subscriber.control(frames.control_frame(frames.PONG, body))
            elif kind != frames.PONG:
                self.answer(kind, body)

    def _too_big(self) -> None:
        """Say of a client that takes no message so large, which of its feeds' was the largest.

        It comes back with its cursor, and is sent the same again: an operator must know.
        """
        feeds = () if self.connection is None else self.connection.feeds
        feed = max(feeds, key=lambda feed: feed.size_most, default=None)
        if feed is not None and feed.largest is not None:
            log.warning(
                "a client takes no message so large",
                code=int(WSCloseCode.MESSAGE_TOO_BIG),
                largest_update_bytes=feed.size_most,
                channel=feed.largest.name,
                updates_bytes_max=self.admission.formats.updates_bytes_max,
                **self.account(),
                hint="raise the limit of its WebSocket library above both",
            )

    def _close(self, reason: Reason, code: int) -> None:
        """Answer a close frame with its code (RFC 6455, 5.5.1), or what is none of the protocol."""
        if self.connection is not None:
            with suppress(OSError):  # gone without waiting for it
                self.transport.write(frames.close_frame(code))
        self.leave(reason)
        self.cut_later()
        self.transport.close()
