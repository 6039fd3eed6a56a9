"""Heartbeats and pings for everybody, from one shared timer.

Must not know how either looks on a wire.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tickfan.core import closing
from tickfan.core.errors import Bound
from tickfan.fanout.subscriber import Phase
from tickfan.session.laggards import Laggards
from tickfan.wire import events

if TYPE_CHECKING:
    import asyncio

    from tickfan.clock import Clock
    from tickfan.core.feed import Feed
    from tickfan.fanout.lossless import LosslessAudience
    from tickfan.session.connections import Connections
    from tickfan.session.membership import Connection
    from tickfan.wire.base import Format

BEAT_S = 1.0
"""How often connections are looked at: the precision of the times below."""


class Times(NamedTuple):
    """How long may pass, in seconds."""

    heartbeat_s: float  # without a write before a heartbeat is sent
    ping_s: float  # between WebSocket pings
    pong_timeout_s: float  # from a ping to anything heard from the client


class Keepalive:
    """Beats while it is started."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connections: Connections,
        clock: Clock,
        times: Times,
        bytes_max: int = 0,
    ) -> None:
        """``bytes_max``: so many may one connection be sent; 0: there is no limit."""
        self._loop = loop
        self._clock = clock
        self._connections = connections
        self._times = times
        self._bytes_max = bytes_max
        self._laggards = Laggards()
        self._timer: asyncio.TimerHandle | None = None
        # One encoding for all that are due the same heartbeat in one beat.
        self._frames: dict[tuple[Format, frozenset[Feed], LosslessAudience | None], bytes] = {}

    def start(self) -> None:
        """Begin to beat."""
        self._timer = self._loop.call_later(BEAT_S, self._beat)

    def stop(self) -> None:
        """No more beats."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat(self) -> None:
        self._timer = self._loop.call_later(BEAT_S, self._beat)
        self._frames.clear()
        self._connections.each(self._look)

    def _look(self, connection: Connection) -> None:
        subscriber = connection.subscriber
        now = self._clock.time()
        if now >= connection.leaves_at:
            subscriber.end(connection.leaves_as)
            return
        # By the kernel's count, once a second: the path of an update counts nothing.
        if self._bytes_max and subscriber.pipe.received_bytes() > self._bytes_max:
            subscriber.end(closing.THROTTLED, bound=Bound("bytes_per_connection_max"))
            return
        self._laggards.look(connection, now)
        if connection.ping is not None:
            self._ping(connection, connection.ping, now)
        # A client that is owed bytes needs no sign of life: it has to read. One that waits
        # for its turn to resume does need it.
        is_quiet = now - subscriber.written_at >= self._times.heartbeat_s
        if is_quiet and subscriber.phase in (Phase.SHARED, Phase.REPLAYING):
            subscriber.control(self._heartbeat(connection))

    def _ping(self, connection: Connection, ping: bytes, now: float) -> None:
        since_ping = now - connection.pinged_at
        is_answered = connection.heard_at >= connection.pinged_at
        if connection.subscriber.phase is not Phase.SHARED:
            # It cannot answer a ping that lies behind bytes which it has not read. The
            # stall timeout watches it, and its time for the answer starts anew.
            if not is_answered:
                connection.pinged_at = now
        elif not is_answered:
            if since_ping >= self._times.pong_timeout_s:
                connection.subscriber.end(closing.NO_PONG, bound=Bound("pong_timeout_s"))
        elif since_ping >= self._times.ping_s:
            connection.pinged_at = now
            connection.subscriber.control(ping)

    def _heartbeat(self, connection: Connection) -> bytes:
        format_ = connection.subscriber.format
        key = format_, frozenset(connection.feeds), connection.lossless
        frame = self._frames.get(key)
        if frame is None:
            # The frame of a lossless audience is not kept from one turn of the loop to the
            # next: its cursor moves.
            feeds = sorted(connection.feeds, key=lambda feed: feed.name)
            fields = events.heartbeat(self._clock.wall_ms(), feeds)
            frame = format_.event("heartbeat", fields, connection.subscriber.cursor)
            if connection.lossless is None:
                self._frames[key] = frame
        return frame
