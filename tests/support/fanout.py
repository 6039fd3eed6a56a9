"""The fan-out without sockets: real hub, real ingest, and pipes that a test controls.

Clients decode what reached them with a reader of their own. The event loop is
asyncio's, with a clock that jumps to the next timer instead of waiting, and a
stopwatch that counts looks: a minute of stalling takes no time, and every run is
alike, however busy the machine is. Must not know what is tested.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

import orjson

from tests.support.access import ANYBODY
from tests.support.decoding import decoder
from tickfan.access.gate import Gate
from tickfan.broker.base import Received
from tickfan.broker.memory import MemoryBroker
from tickfan.clock import Clock
from tickfan.core import closing
from tickfan.core.changes import ChangeLog
from tickfan.core.feed import Upstream
from tickfan.core.feeds import Feeds
from tickfan.core.spec import Delivery, FeedSpec
from tickfan.core.tally import Tally
from tickfan.fanout.background import Background
from tickfan.fanout.backlog import Backlog
from tickfan.fanout.directory import Directory
from tickfan.fanout.hub import Hub
from tickfan.fanout.pump import Pump
from tickfan.fanout.replay import Pace
from tickfan.fanout.slices import Slices
from tickfan.fanout.subscriber import Phase
from tickfan.ingest import Ingest
from tickfan.session.audit import Audit
from tickfan.session.connections import Connections
from tickfan.session.grants import Request, Rules, parse_request
from tickfan.session.subscribe import Answer, Subscriptions
from tickfan.wire.formats import JSON_V1, MSGPACK_V1, Formats
from tickfan.wire.framing import PING_FRAME

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from contextvars import Context

    from tests.support.decoding import Event
    from tickfan.access.identity import Identity
    from tickfan.access.revocationlist import RevocationList
    from tickfan.broker.base import Broker
    from tickfan.core.closing import Reason
    from tickfan.core.errors import Bound
    from tickfan.core.feed import Channel, Feed, Schema
    from tickfan.session.subscribe import Granted
    from tickfan.transports.answers import Answers
    from tickfan.transports.certificate import Certificate
    from tickfan.wire.base import Format

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

FEEDS = (
    FeedSpec("quotes", ("quotes.#",), Delivery.CONFLATED, interval_ms=20),
    FeedSpec("trades", ("trades.#",), Delivery.LOSSLESS, flush_ms=10),
    FeedSpec("book", ("book.#",), Delivery.LOSSLESS, flush_ms=5),
)
RULES = Rules(
    intervals_ms=(20, 40, 80), channels_per_connection_max=500, wildcards_per_connection_max=500
)
LOOK_S = 0.000_01
"""What a look at the stopwatch takes: work is cut into the same slices in every run."""
WIRES = ("sse", "sse10", "ndjson", "msgpack", "json")


class SkippingLoop(asyncio.SelectorEventLoop):
    """asyncio's loop; its clock jumps to the next timer when there is nothing to do."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.failures: list[dict[str, Any]] = []
        self._timers: dict[int, asyncio.TimerHandle] = {}
        super().__init__(_Skipping(self))
        self.set_exception_handler(lambda _loop, context: self.failures.append(context))

    def time(self) -> float:
        return self.now

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As the base, and keep account of it."""

        def run() -> None:
            self._timers.pop(id(timer), None)
            callback(*args)

        timer = super().call_at(when, run, context=context)
        self._timers[id(timer)] = timer
        return timer

    @property
    def timers(self) -> int:
        """How many timers are set, cancelled ones aside."""
        self._timers = {key: timer for key, timer in self._timers.items() if not timer.cancelled()}
        return len(self._timers)

    def within(self, action: Callable[[], T]) -> T:
        """Do something as if within a turn of the loop, which goes round only when it is run."""
        # asyncio has no other way to say which loop runs; it is for those who write loops.
        become_running = asyncio._set_running_loop  # noqa: SLF001
        become_running(self)
        try:
            return action()
        finally:
            become_running(None)


class _Skipping(selectors.SelectSelector):
    def __init__(self, loop: SkippingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "nothing will ever happen: the test waits for ever"
        self._loop.now += max(0.0, timeout)
        return super().select(0)


def skips_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a coroutine test on a :class:`SkippingLoop`; an unhandled failure fails it."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        loop = SkippingLoop()
        try:
            loop.run_until_complete(test(*args, **kwargs))
        finally:
            loop.close()
        assert not loop.failures, loop.failures

    return run


class FakePipe:
    """A connection as a subscriber sees it.

    ``fast``: the client takes everything at once. ``lazy``: half of a write, the
    rest in the loop's next turn. ``stalled``: only what :meth:`read` takes.
    ``broken``: the connection is gone.
    """

    def __init__(self, mode: str = "fast") -> None:
        self.waiting = bytearray()
        self.received = bytearray()
        self.writes = 0
        self.peak = 0
        self.mode = mode
        self._is_full = False

    def send(self, data: bytes) -> int:
        if self.mode == "broken":
            raise ConnectionResetError
        if self._is_full or self.waiting or self.mode == "stalled":
            raise BlockingIOError
        self.writes += 1
        size = len(data)
        if self.mode == "lazy":
            size -= size // 2
            self._is_full = True
            asyncio.get_running_loop().call_soon(self._late)
        self.received += data[:size]
        return size

    def write(self, data: bytes) -> None:
        try:
            data = data[self.send(data) :]
        except BlockingIOError:
            self.writes += self.mode == "stalled"
        self.waiting += data
        self.peak = max(self.peak, len(self.waiting))

    def received_bytes(self) -> int:
        return len(self.received)

    def get_write_buffer_size(self) -> int:
        if self.mode == "broken":
            raise ConnectionResetError
        return len(self.waiting)

    def read(self, most: int | None = None) -> None:
        """The client takes up to ``most`` bytes of what waits."""
        most = len(self.waiting) if most is None else most
        self.received += self.waiting[:most]
        del self.waiting[:most]

    def become(self, mode: str) -> None:
        self.mode = mode
        if mode in ("fast", "lazy"):
            self._late()

    def _late(self) -> None:
        self._is_full = False
        if self.mode != "stalled":
            self.read()


def asked(*channels: str, **fields: Any) -> Request:
    """A request as a transport reads it."""
    return parse_request({"channels": channels, **fields}, RULES.channels_per_connection_max)


class Client:
    """One client: it subscribes, reads at its pace, and remembers what it saw."""

    def __init__(
        self,
        fanout: Fanout,
        wire: str,
        mode: str,
        until: str | None = None,
        identity: Identity = ANYBODY,
    ) -> None:
        self.fanout = fanout
        self.wire = wire
        self.pipe = FakePipe(mode)
        self.format: Format = fanout.format(wire)
        self.reason: Reason | None = None
        self.closing_delay_s = 0.0
        self.connection = fanout.connections.connect(
            self.format,
            self.pipe,
            self._on_end,
            identity,
            until=until,
            ping=PING_FRAME if wire in ("msgpack", "json") else None,
        )
        self.subscriber = self.connection.subscriber
        self._events: list[Event] = []
        self._decode = decoder(wire)
        self._read = 0

    def subscribe(self, *channels: str, **fields: Any) -> Granted:
        subscriptions = self.fanout.subscriptions
        plan = subscriptions.plan(asked(*channels, **fields), self.connection.identity)
        prepared = subscriptions.prepare(plan, self.format, self.connection)
        self.fanout.connections.has_asked(self.connection)
        return subscriptions.subscribe(self.connection, plan, prepared, Answer())

    def unsubscribe(self, *patterns: str) -> None:
        grants = [grant for grant in self.connection.grants if grant in patterns]
        prepared = self.fanout.subscriptions.prepare_unsubscribe(self.connection, grants)
        self.fanout.subscriptions.unsubscribe(self.connection, grants, prepared)

    def clog(self) -> None:
        """Stop reading, with so much in the transport that it is not drained."""
        self.pipe.become("stalled")
        self.pipe.write(self.format.event("filler", {"x": "x" * 9_000}))

    def leave(self) -> None:
        self.fanout.connections.leave(self.connection, closing.LEFT)

    @property
    def is_parked(self) -> bool:
        """Whether it is off the shared path."""
        return self.subscriber.phase is not Phase.SHARED

    @property
    def is_replaying(self) -> bool:
        """Whether there is something of the past left to read."""
        return self.backlog.replay is not None

    @property
    def backlog(self) -> Backlog:
        """What waits for it; an empty one on the shared path."""
        return self.subscriber.backlog or Backlog(None, None, 0)

    @property
    def is_alive(self) -> bool:
        return self.reason is None

    @property
    def events(self) -> list[Event]:
        """Every whole event that has reached the client."""
        piece = bytes(self.pipe.received[self._read :])
        self._read += len(piece)
        self._events += self._decode(piece)
        return self._events

    def named(self, event: str) -> list[Event]:
        return [one for one in self.events if one["event"] == event]

    def seqs(self, channel: str, *, since: int = 0) -> list[int]:
        """The ``seq`` of each update and gap of a channel, as they came."""
        return [
            one["seq"]
            for one in self.events[since:]
            if one["event"] in ("update", "gap") and one["channel"] == channel
        ]

    @property
    def cursor(self) -> str | None:
        """The last cursor that the client has received."""
        cursors = (one["cursor"] for one in reversed(self.events) if "cursor" in one)
        return next(cursors, None)

    def _on_end(self, reason: Reason) -> None:
        assert self.reason is None, "ended twice"
        self.reason = reason
        self.fanout.loop.call_later(self.closing_delay_s, self._close)

    def _close(self) -> None:
        # As the transports do, in a later turn: the cursor, out, the last word.
        assert self.reason is not None
        cursor = self.connection.subscriber.cursor
        self.fanout.connections.leave(self.connection, self.reason)
        if self.pipe.mode != "broken":
            fields = {"reason": self.reason.name}
            self.pipe.write(self.format.event("closing", fields, cursor))


def bound_of(client: Client) -> Bound:
    """The bound that the client was ended for."""
    bound = client.subscriber.bound
    assert bound is not None, "it was not"
    return bound


class Fanout:
    """Everything between a broker's deliveries and the clients' pipes."""

    def __init__(
        self,
        specs: Sequence[FeedSpec] = FEEDS,
        *,
        schemas: Mapping[str, Schema] = {},
        rules: Rules = RULES,
        stall_timeout_s: float = 60.0,
        replays_max: int = 100,
        replay_bytes_per_s: int = 64 * 2**20,
        look_s: float = LOOK_S,
        names_all: bool = False,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        looks = count()
        clock = self.clock = Clock(self.loop.time, stopwatch=lambda: next(looks) * look_s)
        self.tally = Tally()
        self.feeds = Feeds(specs, schemas)
        self.slices = Slices(self.loop, clock.stopwatch)
        self.background = Background(self.loop, self.slices, clock.stopwatch)
        self.pump = Pump(self.loop, self.slices, self.tally, clock.stopwatch, stall_timeout_s)
        changes: ChangeLog[Channel] = ChangeLog()
        self.directory = Directory(
            self.loop, self.slices, self.background, changes, self.tally, clock
        )
        self.pace = Pace(self.loop.time, replays_max, replay_bytes_per_s)
        self.formats = Formats()
        self.encodings = self.formats.encodings
        self.broker: Broker = MemoryBroker([], None)
        self.answers: Mapping[str, Answers] = {}  # nobody asks for any
        self.is_simulated = False
        self.gate = Gate(ANYBODY, None, "")
        self.sockets = lambda: 0
        self.revocations: RevocationList | None = None
        self.certificate: Certificate | None = None
        self.audit = Audit(self.loop, clock, "epoch", names_all=names_all)
        self.connections = Connections(
            self.directory,
            self.pump,
            self.slices,
            self.tally,
            clock,
            max_age_s=0,
            first_command_timeout_s=inf,
            per_subject_max=3,
            epoch="epoch",
            audit=self.audit,
        )
        self.subscriptions = Subscriptions(
            self.feeds, self.directory, self.pump, self.pace, self.tally, clock,
            rules=rules, epoch="epoch", audit=self.audit,
        )  # fmt: skip
        self.hub = Hub(changes, self.directory, self.tally, self.connections.announce)
        self.ingest = Ingest(self.hub, self.feeds, self.tally, clock, 2**20)
        self.offsets = dict.fromkeys(self.feeds, 0)
        for name in self.feeds:
            self.ingest.upstream(name, Upstream.LIVE, "")

    def format(self, wire: str) -> Format:
        if wire in ("sse", "sse10"):
            return self.formats.sse(chunked=wire == "sse")
        if wire == "ndjson":
            return self.formats.ndjson(chunked=True)
        return self.formats.websocket(MSGPACK_V1 if wire == "msgpack" else JSON_V1)

    def client(
        self, wire: str = "sse", mode: str = "fast", *channels: str, **fields: Any
    ) -> Client:
        """Connect, and subscribe if there are channels."""
        client = Client(self, wire, mode, fields.get("until"))
        if channels:
            client.subscribe(*channels, **fields)
        return client

    def feed(self, channel: str) -> Feed:
        feed = self.feeds.covering(channel)
        assert feed is not None
        return feed

    def deliver(self, channel: str, body: bytes, **fields: Any) -> int:
        """One message from the broker; returns the ``seq`` of its first update."""
        feed = self.feed(channel)
        if feed.is_lossless:
            offset = self.offsets[feed.name]
            self.offsets[feed.name] += 1
            fields = {"offset": offset, "message_id": str(offset), **fields}
        fingerprint = fields.pop("fingerprint", None)
        message = Received(channel, body, **fields)
        if feed.is_lossless:
            fingerprint = fingerprint or message.fingerprint()
        self.ingest.deliver(feed.name, message, fingerprint)
        if feed.is_lossless:
            return int(fields["offset"]) * 1024
        held = self.feeds.channel(channel)
        return 0 if held is None else held.seq or 0

    def publish(self, channel: str, data: Any = 1, **fields: Any) -> int:
        return self.deliver(channel, orjson.dumps(data), **fields)

    def reset(self, feed: str) -> None:
        self.offsets[feed] = 0
        self.ingest.reset(feed, "recreated")

    async def turns(self, count: int = 5) -> None:
        """Let the loop go round without letting time pass."""
        for _ in range(count):
            await asyncio.sleep(0)

    async def settle(self, seconds: float = 0.5) -> None:
        """Long enough for every window, tick and poll (time is free here)."""
        await asyncio.sleep(seconds)


def timers(loop: asyncio.AbstractEventLoop) -> int:
    """How many timers the loop holds, cancelled ones aside."""
    assert isinstance(loop, SkippingLoop)
    return loop.timers
