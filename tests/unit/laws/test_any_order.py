"""tickfan.fanout: its laws hold in whatever order things happen, for every client at once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgpack
import orjson
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.support.fanout import WIRES, Client, Fanout, SkippingLoop, timers
from tests.support.model import CONFLATED, FEEDS, LOSSLESS, Item, Log, Watch, of_feed, places_in
from tickfan.core import closing
from tickfan.core.errors import Refusal
from tickfan.core.feed import Upstream
from tickfan.core.pattern import Pattern
from tickfan.core.spec import Delivery, FeedSpec
from tickfan.session.keepalive import BEAT_S, Keepalive, Times

if TYPE_CHECKING:
    from collections.abc import Sequence

PATTERNS = ("trades.a", "trades.*", "trades.#", "book.x", "book.#", "quotes.a", "quotes.#", "#")
QUEUE_UPDATES_MAX, QUEUE_BYTES_MAX = 12, 200_000
STALL_TIMEOUT_S = 5.0
HEARTBEAT_S = 1.0
# One that is cut while it is owed nothing is found by its heartbeat, which may be a beat late.
CALM_S = HEARTBEAT_S + BEAT_S + 0.2
SPECS = (
    FeedSpec("quotes", ("quotes.#",), Delivery.CONFLATED, interval_ms=20),
    FeedSpec("trades", ("trades.#",), Delivery.LOSSLESS, flush_ms=10,
             queue_updates_max=QUEUE_UPDATES_MAX, queue_bytes_max=QUEUE_BYTES_MAX),
    # A short history, so that some resumes come too late.
    FeedSpec("book", ("book.#",), Delivery.LOSSLESS, flush_ms=5, queue_updates_max=20,
             queue_bytes_max=QUEUE_BYTES_MAX, history_bytes_max=150_000),
)  # fmt: skip
LOOK_S = 0.0005  # so long that the loop has its turn after a few jobs
CLIENTS_MAX = 6
# Many of one kind, or hardly two would ever share an audience.
wires = st.sampled_from([*WIRES, "sse", "sse", "sse", "msgpack"])
patterns = st.sampled_from([*PATTERNS, "trades.#", "trades.#", "#"])
snapshots = st.sampled_from([True, True, False])
faults = st.sampled_from([*[None] * 6, "bad_number", "bad_ts", "bad_batch", "wrong_feed"])
# Of one entry of a batch: which channel of the feed, what is wrong with it, and its size.
entries = st.tuples(st.integers(0, 1), faults, st.sampled_from([0, 0, 0, 3_000, 30_000]))
batches = st.one_of(
    st.lists(entries, min_size=2, max_size=8),
    st.lists(st.tuples(st.integers(0, 1), st.none(), st.just(0)), min_size=2, max_size=30),
)
LONG = "TICKFAN_LONG"


class Guest:
    """A client, and what the model promises it."""

    def __init__(self, fanout: Fanout, log: Log, wire: str, mode: str, *, is_until: bool) -> None:
        self.client = Client(fanout, wire, mode, "done" if is_until else None)
        self.watch = Watch(log, ends_at_last=is_until)
        self.was_ended = False
        self._read = 0

    def read(self) -> list[str]:
        """Let the model read what has come; returns the cursors in it."""
        events = self.client.events
        new, self._read = events[self._read :], len(events)
        for event in new:
            self.watch.read(event)
        return [one[name] for one in new for name in ("cursor", "oldest") if one.get(name)]


class AnyOrder(RuleBasedStateMachine):
    """Several clients on all wires do what clients do, and so does the broker."""

    has_failed = True  # until it has started

    def __init__(self) -> None:
        super().__init__()
        self.loop = SkippingLoop()

    @initialize()
    def start(self) -> None:
        self.log = Log()
        self.guests: list[Guest] = []
        self.cursors: list[str] = []
        self.inner: list[str] = []  # those that name a place within a batch
        self.burst: list[Item] = []  # what may still be on its way to a client that reads
        self.loop.within(self._start)

    def _start(self) -> None:
        self.fanout = Fanout(
            SPECS, stall_timeout_s=STALL_TIMEOUT_S, replays_max=2, replay_bytes_per_s=2_000_000,
            look_s=LOOK_S,
        )  # fmt: skip
        self.keepalive = Keepalive(
            self.fanout.loop,
            self.fanout.connections,
            self.fanout.clock,
            Times(heartbeat_s=HEARTBEAT_S, ping_s=1e9, pong_timeout_s=10.0),
        )
        self.keepalive.start()
        self._connect("sse", "fast", ["trades.#"])
        self._connect("msgpack", "lazy", ["#"])

    def _wait(self, seconds: float) -> None:
        self.loop.run_until_complete(self.fanout.settle(seconds))

    def _connect(
        self,
        wire: str,
        mode: str,
        texts: Sequence[str],
        cursor: str | None = None,
        *,
        is_until: bool = False,
        has_snapshots: bool = True,
    ) -> Guest:
        guest = Guest(self.fanout, self.log, wire, mode, is_until=is_until)
        self.guests.append(guest)
        if texts:
            self._subscribe(guest, texts, None, cursor, has_snapshots=has_snapshots)
        return guest

    def _pick(self, index: int) -> Guest:
        return self.guests[index % len(self.guests)]

    def _subscribe(
        self,
        guest: Guest,
        texts: Sequence[str],
        interval_ms: int | None,
        cursor: str | None,
        *,
        has_snapshots: bool,
    ) -> None:
        """Subscribe, and hold what the service says of a resume against the model."""
        watch = guest.watch
        had = watch.feeds()
        states = {name for name in LOSSLESS if self.log.states[name] and not watch.covers(name)}
        if cursor is not None and had:
            with pytest.raises(Refusal, match="first subscribe"):
                guest.client.subscribe(*texts, cursor=cursor)
            return
        oldest = {name: feed.history.oldest for name, feed in self.fanout.feeds.items()}
        evicted = {name: feed.history.evicted for name, feed in self.fanout.feeds.items()}
        granted = guest.client.subscribe(
            *texts, interval_ms=interval_ms, cursor=cursor, snapshot=has_snapshots
        )
        assert granted.fields is not None
        told = {one["feed"]: one.get("recovered") for one in granted.fields["channels"]}
        _check_snapshots(granted.fields["channels"], states if has_snapshots else None)
        asked = places_in(cursor or "1")
        places: dict[str, Item | None] = {}
        resets: list[str] = []
        for feed in sorted({*told} & {"trades", "book"} - had):
            expected = None
            if feed in asked:
                item = self.log.item_at(feed, asked[feed])
                if item is None:
                    expected = evicted[feed] is None
                else:
                    first = oldest[feed]
                    expected = (
                        item.stream == self.log.streams[feed]
                        and first is not None
                        and first.seq <= item.seq
                    )
            elif asked.keys() - {"trades", "book"}:
                expected = False
            assert told[feed] is expected, f"{feed} at {asked.get(feed)}"
            if expected:
                places[feed] = self.log.item_at(feed, asked[feed])
            elif expected is False:
                resets.append(feed)
        watch.subscribe(texts, places, resets, has_snapshots=has_snapshots)

    @rule(
        channel=st.sampled_from([*LOSSLESS, *LOSSLESS, *CONFLATED]),
        count=st.integers(1, 6),
        kind=st.sampled_from(["update"] * 5 + ["snapshot", "gap", "done"]),
        size=st.sampled_from([0, 0, 0, 3_000, 30_000]),
    )
    def publish(self, channel: str, count: int, kind: str, size: int) -> None:
        self.loop.within(lambda: self._publish(channel, count, kind, size))

    @rule(count=st.integers(1, 3))
    def quote(self, count: int) -> None:
        self.loop.within(lambda: self._publish("quotes.a", count, "update", 0))

    @rule()
    def flush(self) -> None:
        """What is due goes out; a step of whoever is behind."""
        self._wait(0.011)

    @rule()
    def trade(self) -> None:
        """One more, in the same turn as what comes next."""
        self.loop.within(lambda: self._publish("trades.a", 1, "update", 0))

    def _publish(self, channel: str, count: int, kind: str, size: int) -> None:
        log = self.log
        for index in range(count):
            log.now += 1
            data = [log.now, "x" * size]
            if channel in CONFLATED:
                log.values[channel].append(log.now)
                assert self.fanout.publish(channel, data) == len(log.values[channel])
                continue
            one = kind if index in (0, count // 2) else "update"
            if one == "done" and log.states[channel]:
                one = "update"  # an end within a full state has an example of its own
            mark = f"{log.now:011}"
            fields = {"fingerprint": mark, "type": one if one in ("snapshot", "done") else None}
            gap = "bad_json" if one == "gap" else None
            if gap:
                seq = self.fanout.deliver(channel, b"not JSON", **fields)
            else:
                seq = self.fanout.publish(channel, data, **fields)
            self.burst.append(log.add(channel, seq, mark, one, size, gap))

    @rule(
        feed=st.sampled_from(["trades", "trades", "book", "quotes"]),
        key=st.integers(0, 1),
        batch=batches,
        kind=st.sampled_from(["update"] * 3 + ["snapshot", "snapshot", "done"]),
        is_msgpack=st.booleans(),
    )
    def publish_batch(
        self, feed: str, key: int, batch: list[tuple[int, str | None, int]], kind: str,
        is_msgpack: bool,
    ) -> None:  # fmt: skip
        """Many updates in one message, some of which may be refused alone."""
        names = of_feed(feed) or list(CONFLATED)
        routing_key = names[key % len(names)]
        entries = [(names[which % len(names)], fault, size) for which, fault, size in batch]
        if kind == "done" and any(self.log.states.get(name) for name in names):
            kind = "update"  # as in publish
        self.loop.within(lambda: self._publish_batch(routing_key, entries, kind, is_msgpack))

    def _publish_batch(
        self, key: str, entries: list[tuple[str, str | None, int]], kind: str, is_msgpack: bool
    ) -> None:
        log = self.log
        first = log.now + 1
        body = [
            _entry(name, [at, "x" * size], fault)
            for at, (name, fault, size) in enumerate(entries, first)
        ]
        mark = f"{first:011}"
        fields: dict[str, Any] = {"batch": True, "type": None if kind == "update" else kind}
        if key in LOSSLESS:
            fields["fingerprint"] = mark
        if is_msgpack:
            fields["content_type"] = "application/msgpack"
        encoded = msgpack.packb(body) if is_msgpack else orjson.dumps(body)
        seq = self.fanout.deliver(key, encoded, **fields)
        # Entries of about one length count for their mean.
        mean = sum(size for _, _, size in entries) // len(entries)
        for place, (name, fault, size) in enumerate(entries):
            log.now += 1
            if name in CONFLATED:
                if fault is None:
                    log.values[name].append(log.now)
                continue
            # What names no channel of the feed is a gap of the routing key's.
            at = key if fault in ("bad_batch", "wrong_feed") else name
            item = log.add(at, seq + place, mark, kind, max(size, mean), fault)
            self.burst.append(item)

    @rule(seconds=st.sampled_from([0.0, 0.0, 0.001, 0.006, 0.011, 0.03, 0.3, 1.2]))
    def wait(self, seconds: float) -> None:
        self._wait(seconds)
        self.all_is_as_promised()
        if seconds > 0.02:
            self.burst.clear()
        if seconds > 0.1:
            self.log.settle()

    @precondition(lambda self: len(self.guests) < CLIENTS_MAX)
    @rule(
        wire=wires,
        mode=st.sampled_from(["fast", "lazy", "stalled"]),
        texts=st.lists(patterns, max_size=2, unique=True),
        is_until=st.sampled_from([False, False, False, True]),
        has_snapshots=snapshots,
    )
    def join(
        self, wire: str, mode: str, texts: list[str], is_until: bool, has_snapshots: bool
    ) -> None:
        self.loop.within(
            lambda: self._connect(wire, mode, texts, is_until=is_until, has_snapshots=has_snapshots)
        )

    @precondition(lambda self: len(self.guests) < CLIENTS_MAX and self.cursors)
    @rule(
        wire=wires,
        mode=st.sampled_from(["fast", "fast", "lazy", "stalled"]),
        texts=st.lists(patterns, min_size=1, max_size=2, unique=True),
        back=st.integers(0, 40),
        more=st.sampled_from(["", "", "", f"~elsewhere.7.{'A' * 11}"]),
        is_until=st.sampled_from([False, False, False, True]),
        has_snapshots=snapshots,
    )
    def resume(
        self, wire: str, mode: str, texts: list[str], back: int, more: str,
        is_until: bool, has_snapshots: bool,
    ) -> None:  # fmt: skip
        """With any cursor that anybody has been given."""
        cursor = self.cursors[-1 - back % len(self.cursors)] + more
        self.loop.within(
            lambda: self._connect(
                wire, mode, texts, cursor, is_until=is_until, has_snapshots=has_snapshots
            )
        )

    @rule(
        wire=wires,
        mode=st.sampled_from(["fast", "fast", "lazy", "stalled"]),
        texts=st.lists(patterns, min_size=1, max_size=2, unique=True),
        back=st.integers(0, 10),
        has_snapshots=snapshots,
    )
    def resume_within_batch(
        self, wire: str, mode: str, texts: list[str], back: int, has_snapshots: bool
    ) -> None:
        """With the cursor of an update that has others of its message behind it."""
        # No precondition: whether there is one yet hangs on the order of sets, and a walk
        # must be drawn alike whenever it is walked again.
        if not self.inner:
            return
        if len(self.guests) >= CLIENTS_MAX:
            self.loop.within(self.guests.pop(0).client.leave)
        cursor = self.inner[-1 - back % len(self.inner)]
        self.loop.within(
            lambda: self._connect(wire, mode, texts, cursor, has_snapshots=has_snapshots)
        )

    @precondition(lambda self: self.guests)
    @rule(
        who=st.integers(0, CLIENTS_MAX),
        texts=st.lists(patterns, min_size=1, max_size=2, unique=True),
        interval_ms=st.sampled_from([None, 20, 40, 80]),
        back=st.sampled_from([None, None, None, 0, 5]),
        has_snapshots=snapshots,
        times=st.sampled_from([1, 1, 1, 4]),
    )
    def subscribe(
        self, who: int, texts: list[str], interval_ms: int | None, back: int | None,
        has_snapshots: bool, times: int,
    ) -> None:  # fmt: skip
        """Also with a cursor, which may come too late; and again and again in one turn."""
        guest = self._pick(who)
        if guest.client.reason is None:
            cursor = None
            if back is not None and self.cursors:
                cursor = self.cursors[-1 - back % len(self.cursors)]
            for _ in range(times):
                self.loop.within(
                    lambda: self._subscribe(
                        guest, texts, interval_ms, cursor, has_snapshots=has_snapshots
                    )
                )

    @precondition(lambda self: self.guests)
    @rule(who=st.integers(0, CLIENTS_MAX), which=st.integers(0, 3))
    def unsubscribe(self, who: int, which: int) -> None:
        guest = self._pick(who)
        texts = list(guest.watch.patterns)
        if texts and guest.client.reason is None:
            text = texts[which % len(texts)]
            self.loop.within(lambda: guest.client.unsubscribe(text))
            guest.watch.unsubscribe(text)

    @precondition(lambda self: self.guests)
    @rule(
        who=st.integers(0, CLIENTS_MAX),
        mode=st.sampled_from(["fast", "fast", "lazy", "stalled", "clogged", "clogged"]),
    )
    def mode(self, who: int, mode: str) -> None:
        client = self._pick(who).client
        if client.pipe.mode == "broken" or (mode == "clogged" and client.reason is not None):
            return
        become = client.clog if mode == "clogged" else lambda: client.pipe.become(mode)
        self.loop.within(become)

    @precondition(lambda self: self.guests)
    @rule(who=st.integers(0, CLIENTS_MAX), most=st.sampled_from([100, 5_000, 20_000, 100_000]))
    def read(self, who: int, most: int) -> None:
        self._pick(who).client.pipe.read(most)

    @rule(feed=st.sampled_from(["trades", "book"]))
    def lose_stream(self, feed: str) -> None:
        self.log.lose(feed)
        self.loop.within(lambda: self.fanout.reset(feed))
        for guest in self.guests:
            if guest.client.reason is None and feed in guest.watch.feeds():
                guest.watch.lose(feed)

    @rule()
    def outage(self) -> None:
        feed = self.fanout.feeds["trades"]
        now = Upstream.LIVE if feed.upstream is Upstream.STALE else Upstream.STALE
        self.loop.within(lambda: self.fanout.ingest.upstream("trades", now, ""))

    @precondition(lambda self: self.guests)
    @rule(
        who=st.integers(0, CLIENTS_MAX),
        how=st.sampled_from(["leave", "cut", "drain", "drain late", "come back", "come back"]),
        wire=wires,
        has_snapshots=snapshots,
    )
    def end(self, who: int, how: str, wire: str, has_snapshots: bool) -> None:
        """A client ends, or the service asks it to move on."""
        guest = self._pick(who)
        client = guest.client
        if how == "leave":
            self.loop.within(client.leave)
            self.guests.remove(guest)
        elif how == "cut":
            client.pipe.become("broken")
        elif how == "come back":
            self.loop.within(lambda: self._come_back(guest, wire, has_snapshots=has_snapshots))
        elif client.reason is None:
            client.closing_delay_s = 0.1 if how == "drain late" else 0.0
            guest.was_ended = True
            self.loop.within(lambda: client.subscriber.end(closing.DRAIN))

    def _come_back(self, guest: Guest, wire: str, *, has_snapshots: bool = True) -> None:
        """It is cut here, and goes on with the last cursor that it has received."""
        guest.client.leave()
        self.guests.remove(guest)
        texts, cursor = list(guest.watch.patterns), guest.client.cursor
        self._connect(wire, "fast", texts, cursor, has_snapshots=has_snapshots)

    @invariant()
    def all_is_as_promised(self) -> None:
        """Whatever has come is what was due next, and who was ended was so for a reason."""
        assert not self.loop.failures, self.loop.failures
        self.has_failed = True
        for guest in self.guests:
            cursors = guest.read()
            self.cursors += cursors
            self.inner += [one for one in cursors if self.log.is_within_batch(one)]
            self._check_reason(guest)
        self.has_failed = False

    def _check_reason(self, guest: Guest) -> None:
        client, watch, reason = guest.client, guest.watch, guest.client.reason
        if reason is None or guest.was_ended:
            return
        guest.was_ended = True
        if reason is closing.SLOW:
            owed = {*watch.owed(), *self.burst}
            assert (
                len(owed) >= QUEUE_UPDATES_MAX
                or sum(item.size for item in owed) > QUEUE_BYTES_MAX / 2
                or any(feed.history.evicted is not None for feed in self.fanout.feeds.values())
            ), f"slow, with {len(owed)} updates owed"
        elif reason is closing.STALLED:
            assert client.pipe.waiting, "stalled, though it has read everything"
        elif reason is closing.LOST:
            assert client.pipe.mode == "broken"
        else:
            assert reason is closing.DONE
            assert watch.ends_at_last

    def teardown(self) -> None:
        """Everybody reads again, and in the end nothing is left behind."""
        try:
            if not self.has_failed:  # else it has said why
                self._end_all()
        finally:
            self.loop.close()

    def _end_all(self) -> None:
        self.loop.within(self._calm)
        self._check_calm()
        for guest in [*self.guests]:
            if guest.client.reason is not None:
                self.loop.within(lambda guest=guest: self._come_back(guest, "json"))  # type: ignore[misc]
        self._check_calm()
        for guest in self.guests:
            self.loop.within(guest.client.leave)
        self.keepalive.stop()
        self._wait(0.5)
        self._check_nothing_is_left()

    def _calm(self) -> None:
        for guest in self.guests:
            if guest.client.pipe.mode != "broken":
                guest.client.pipe.become("fast")

    def _check_calm(self) -> None:
        self._wait(CALM_S)
        self.all_is_as_promised()
        fanout = self.fanout
        assert len(fanout.pump) == 0
        assert fanout.pace.readers == 0
        for guest in self.guests:
            client = guest.client
            if client.reason is None:
                assert not client.is_parked
                assert not guest.watch.is_over
                guest.watch.check_calm()
            elif client.reason is closing.DONE:
                assert guest.watch.is_over or client.pipe.mode == "broken"

    def _check_nothing_is_left(self) -> None:
        fanout = self.fanout
        assert len(self.fanout.connections) == 0
        assert len(fanout.directory) == 0
        assert not [one for feed in fanout.feeds.values() for one in feed.channels.values()
                    if one.audiences]  # fmt: skip
        assert fanout.pace.readers == 0
        assert len(fanout.pump) == 0
        assert timers(self.loop) == 0, "a timer is left behind"


def _check_snapshots(channels: list[dict[str, Any]], states: set[str] | None) -> None:
    """What an answer says of its snapshots: ``states`` are due. None: no snapshots are."""
    for one in channels:
        if states is None:
            assert one["snapshot"] == "none"
        elif one["feed"] in FEEDS:
            due = states.intersection(of_feed(one["feed"]))
            is_sent = not one["recovered"] and any(map(Pattern(one["channel"]).matches, due))
            assert one["snapshot"] == ("state" if is_sent else "none"), one


def _entry(channel: str, data: Any, fault: str | None) -> Any:
    """One entry of a batch, with something wrong in it."""
    entry = {"channel": channel, "data": data}
    if fault == "bad_number":
        entry["data"] = 2**53 + 1
    elif fault == "bad_ts":
        entry["ts"] = "now"
    elif fault == "bad_batch":
        del entry["data"]
    elif fault == "wrong_feed":
        entry["channel"] = "trades.a" if channel == "book.x" else "book.x"
    return entry


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    deadline=None,
    derandomize=LONG not in os.environ,
    max_examples=int(os.environ.get(LONG, "120")),
    stateful_step_count=60,
    # To shrink a failure takes up to five minutes: only who looks for one waits for that.
    phases={Phase.generate, Phase.shrink} if LONG in os.environ else {Phase.generate},
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
