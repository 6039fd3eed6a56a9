"""tickfan/fanout/hub.py: the laws of the whole fan-out, whatever the interleaving."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.fanout import WIRES, Client, Fanout, skips_time, timers
from tickfan.core import closing
from tickfan.core.feed import Upstream
from tickfan.core.pattern import Pattern
from tickfan.core.spec import Delivery, FeedSpec
from tickfan.session.keepalive import Keepalive, Times

LOSSLESS = ("trades.a", "trades.b", "book.x")
CONFLATED = ("quotes.a", "quotes.b")
PATTERNS = ("trades.a", "trades.*", "trades.#", "book.x", "book.#", "quotes.a", "quotes.#", "#")
SPECS = (
    FeedSpec("quotes", ("quotes.#",), Delivery.CONFLATED, interval_ms=20),
    FeedSpec("trades", ("trades.#",), Delivery.LOSSLESS, flush_ms=10, queue_updates_max=12),
    FeedSpec("book", ("book.#",), Delivery.LOSSLESS, flush_ms=5, queue_updates_max=20,
             queue_bytes_max=200_000),
)  # fmt: skip


@dataclass
class Session:
    """A time during which a client was subscribed to a channel: places in the world's log."""

    start: int
    opening: int  # the client knows of it when this many openings have ended
    end: int | None = None
    before: frozenset[int] = frozenset()  # seqs that an earlier connection received

    def holds(self, at: int) -> bool:
        return self.start < at and (self.end is None or at <= self.end)


@dataclass
class Watch:
    """What one client must have seen."""

    client: Client
    patterns: dict[str, Pattern] = field(default_factory=dict)
    sessions: dict[str, list[Session]] = field(default_factory=dict)
    openings: int = 0
    resumed: bool = False

    def covers(self, channel: str) -> bool:
        return any(pattern.matches(channel) for pattern in self.patterns.values())

    def open(self, channel: str) -> Session | None:
        sessions = self.sessions.get(channel)
        return sessions[-1] if sessions and sessions[-1].end is None else None


class World:
    """A fan-out, its clients, and a log of everything published."""

    def __init__(self) -> None:
        self.fanout = Fanout(SPECS)
        self.keepalive = Keepalive(
            self.fanout.loop,
            self.fanout.connections,
            self.fanout.clock,
            Times(heartbeat_s=1.0, ping_s=1e9),
        )
        self.keepalive.start()
        self.count = 0
        self.log: dict[str, list[tuple[int, int]]] = {name: [] for name in LOSSLESS}
        self.watches: list[Watch] = []
        self.done: list[Watch] = []

    def publish(self, channel: str, count: int, size: int) -> None:
        for _ in range(count):
            self.count += 1
            seq = self.fanout.publish(channel, [self.count, "x" * size])
            if channel in self.log:
                self.log[channel].append((self.count, seq))

    def join(self, wire: str, mode: str, patterns: list[str]) -> None:
        if len(self.watches) < 6:
            self.watches.append(Watch(self.fanout.client(wire, mode)))
            for pattern in patterns:
                self.subscribe(len(self.watches) - 1, pattern, None)

    def pick(self, index: int) -> Watch | None:
        return self.watches[index % len(self.watches)] if self.watches else None

    def subscribe(self, index: int, text: str, interval_ms: int | None) -> None:
        watch = self.pick(index)
        if watch is None or watch.client.reason is not None:
            return
        fresh = [name for name in LOSSLESS if not watch.covers(name)]
        watch.client.subscribe(text, interval_ms=interval_ms)
        watch.patterns[text] = Pattern(text)
        watch.openings += 1
        for name in fresh:
            if watch.covers(name):
                session = Session(self.count, watch.openings)
                watch.sessions.setdefault(name, []).append(session)

    def unsubscribe(self, index: int, text: str) -> None:
        watch = self.pick(index)
        if watch is None or text not in watch.patterns or watch.client.reason is not None:
            return
        watch.client.unsubscribe(text)
        del watch.patterns[text]
        for name in LOSSLESS:
            session = watch.open(name)
            if session is not None and not watch.covers(name):
                session.end = self.count

    def mode(self, index: int, mode: str) -> None:
        if (watch := self.pick(index)) is not None:
            watch.client.pipe.become(mode)

    def read(self, index: int, most: int) -> None:
        if (watch := self.pick(index)) is not None:
            watch.client.pipe.read(most)

    def status(self) -> None:
        now = (
            Upstream.LIVE
            if self.fanout.feeds["trades"].upstream is Upstream.STALE
            else Upstream.STALE
        )
        self.fanout.ingest.upstream("trades", now, "")

    def resume(self, index: int, wire: str, mode: str) -> None:
        """The client is cut here, and comes back with the last cursor it has received."""
        old = self.pick(index)
        if old is None or not old.patterns:
            return
        self.watches.remove(old)
        self.check(old, calm=False)
        old.client.leave()
        self.watches.append(self.after(old, wire, mode))

    def after(self, old: Watch, wire: str, mode: str) -> Watch:
        """A new connection that goes on where an old one was cut."""
        cursor = old.client.cursor
        client = self.fanout.client(wire, mode)
        new = Watch(client, dict(old.patterns), openings=1, resumed=True)
        known = len(old.client.named("snapshot_end"))
        for name in LOSSLESS:
            if not new.covers(name):
                continue
            session = Session(self.count, 1)
            was = old.open(name)
            if was is not None and was.opening <= known:
                assert cursor is not None
                session.start = was.start
                session.before = was.before | set(old.client.seqs(name))
            new.sessions[name] = [session]
        client.subscribe(*old.patterns, cursor=cursor)
        return new

    def check(self, watch: Watch, *, calm: bool) -> None:
        client = watch.client
        assert not client.named("reset"), "nothing was lost"
        for name, log in self.log.items():
            seqs = client.seqs(name)
            assert seqs == sorted(set(seqs)), f"{name} comes twice or out of order: {seqs}"
            sessions = watch.sessions.get(name, [])
            for session in sessions:
                due = [
                    seq for at, seq in log
                    if session.holds(at) and seq not in session.before
                ]  # fmt: skip
                got = [seq for seq in seqs if seq in set(due)]
                assert got == due[: len(got)], f"a hole in {name}: {got} of {due}"
                if calm and session.end is None and client.reason is None:
                    assert got == due, f"not all of {name} has come"
                assert not session.before & set(seqs), f"{name} again after the resume"
            extra = {
                seq for at, seq in log
                if not any(session.holds(at) for session in sessions)
            } & set(seqs)  # fmt: skip
            assert watch.resumed or not extra, f"{name} without being subscribed: {extra}"
        prevs = {name: dict(zip([s for _, s in log], [None, *[s for _, s in log]], strict=False))
                 for name, log in self.log.items()}  # fmt: skip
        for event in client.events:
            if event["event"] == "update" and event["channel"] in prevs:
                assert event["prev"] == prevs[event["channel"]][event["seq"]]
        self.check_conflated(watch, calm=calm)

    def check_conflated(self, watch: Watch, *, calm: bool) -> None:
        client = watch.client
        for name in CONFLATED:
            seqs = client.seqs(name)
            assert seqs == sorted(seqs), f"{name}: an older value after a newer one"
            channel = self.fanout.feeds.channel(name)
            if calm and channel is not None and watch.covers(name) and client.reason is None:
                assert seqs, f"{name} has never come"
                assert seqs[-1] == channel.seq, f"{name} got stuck at {seqs[-1]} of {channel.seq}"

    async def end(self) -> None:
        """Everybody reads again: all that is owed comes, and whoever was ended resumes."""
        for watch in self.watches:
            watch.client.pipe.become("fast")
        await self.fanout.settle()
        for watch in [*self.watches]:
            self.check(watch, calm=True)
            assert watch.client.reason is None or watch.client.reason.name == "slow"
            if watch.client.reason is not None and watch.patterns:
                self.watches.append(self.after(watch, watch.client.wire, "fast"))
        await self.fanout.settle()
        for watch in self.watches:
            self.check(watch, calm=True)
            watch.client.leave()
        self.keepalive.stop()
        await self.fanout.settle()
        assert len(self.fanout.directory) == 0
        assert timers(self.fanout.loop) == 0, "a timer is left behind"


who = st.integers(0, 5)
modes = st.sampled_from(["fast", "lazy", "stalled"])
wires = st.sampled_from(WIRES)
steps = st.one_of(
    st.tuples(st.just("publish"), st.sampled_from(LOSSLESS + CONFLATED), st.integers(1, 6),
              st.sampled_from([0, 0, 0, 3_000, 30_000])),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.001, 0.006, 0.011, 0.03, 1.2])),
    st.tuples(st.just("join"), wires, modes, st.lists(st.sampled_from(PATTERNS), max_size=2)),
    st.tuples(st.just("subscribe"), who, st.sampled_from(PATTERNS),
              st.sampled_from([None, 20, 40, 80])),
    st.tuples(st.just("unsubscribe"), who, st.sampled_from(PATTERNS)),
    st.tuples(st.just("mode"), who, modes),
    st.tuples(st.just("read"), who, st.sampled_from([100, 5_000, 100_000])),
    st.tuples(st.just("resume"), who, wires, modes),
    st.tuples(st.just("status")),
)  # fmt: skip


@settings(deadline=None, max_examples=400, phases=set(Phase) - {Phase.explain},
          suppress_health_check=[HealthCheck.too_slow])  # fmt: skip
@given(st.lists(steps, min_size=20, max_size=100))
@skips_time
async def test_nothing_is_lost_doubled_or_stale(script: list[tuple[Any, ...]]) -> None:
    """Lossless: each update once, in order, chained, also over a resume; conflated: the newest."""
    world = World()
    world.join("sse", "stalled", ["trades.#"])
    world.join("msgpack", "lazy", ["#"])
    for name, *arguments in script:
        if name == "wait":
            await world.fanout.settle(arguments[0])
        else:
            getattr(world, name)(*arguments)
    await world.end()


@pytest.mark.parametrize("wire", ["sse", "ndjson", "msgpack", "json"])
@pytest.mark.parametrize("kind", ["fast", "lazy", "pending", "slow", "replaying"])
@skips_time
async def test_a_reset_divides_the_old_stream_from_the_new(wire: str, kind: str) -> None:
    """One event; nothing old after it, everything new after it, chained from null."""
    fanout = Fanout()
    early = fanout.client(wire, "fast", "trades.#")
    old = [fanout.publish("trades.a", ["old", "x" * 3_000]) for _ in range(30)]
    await fanout.settle()
    client = fanout.client(wire, "lazy" if kind == "lazy" else "fast")
    if kind == "replaying":
        client.pipe.become("stalled")
    begin = early.named("snapshot_end")[0]["cursor"]
    client.subscribe("trades.#", "book.#", cursor=begin)
    book = [fanout.publish("book.x")]
    await fanout.settle()
    if kind == "slow":
        client.clog()
    old += [fanout.publish("trades.a", ["old"]) for _ in range(3)]
    if kind == "slow":
        await fanout.settle()
    # A flush of the old stream is under way when the new one begins.
    fanout.reset("trades")
    new = [fanout.publish("trades.a", ["new"]) for _ in range(3)]
    book.append(fanout.publish("book.x"))
    await fanout.turns()
    new += [fanout.publish("trades.a", ["new"]) for _ in range(3)]
    await fanout.settle()
    client.pipe.become("fast")
    await fanout.settle()
    resets = client.named("reset")
    assert [(one["feed"], one["reason"]) for one in resets] == [("trades", "recreated")]
    at = client.events.index(resets[0])
    before = [one for one in client.events[:at] if one.get("channel") == "trades.a"]
    after = [one for one in client.events[at:] if one.get("channel") == "trades.a"]
    assert all(one["data"][0] == "old" for one in before)
    assert [one["seq"] for one in before] == old[: len(before)]
    if kind in ("fast", "lazy", "pending"):
        assert len(before) == len(old)
    assert [(one["seq"], one["data"]) for one in after] == [(seq, ["new"]) for seq in new]
    assert [one["prev"] for one in after] == [None, *new[:-1]]
    assert client.seqs("book.x") == book, "the other feed is unharmed"
    for cursor, due in ((resets[0]["cursor"], new), (client.cursor, [])):
        again = fanout.client(wire)
        again.subscribe("trades.#", cursor=cursor)
        await fanout.settle()
        assert again.seqs("trades.a") == due
        assert not again.named("reset")


@skips_time
async def test_a_cursor_of_the_old_stream_is_answered_with_reset() -> None:
    """Also that of a client that was ended just before, and closed just after."""
    fanout = Fanout()
    client = fanout.client("sse", "fast", "trades.#")
    client.closing_delay_s = 0.1
    fanout.publish("trades.a", "old")
    await fanout.settle()
    client.subscriber.end(closing.DRAIN)
    fanout.reset("trades")
    fanout.publish("trades.a", "new")
    await fanout.settle()
    assert not client.named("reset")
    again = fanout.client("sse")
    again.subscribe("trades.#", cursor=client.cursor)
    await fanout.settle()
    assert [one["feed"] for one in again.named("reset")] == ["trades"]


@pytest.mark.parametrize("wire", WIRES)
@skips_time
async def test_a_thousand_subscribers_cost_one_encoding(wire: str) -> None:
    """And one write each, though they are more than one audience holds."""
    fanout = Fanout()
    clients = [fanout.client(wire, "fast", "trades.a") for _ in range(1_000)]
    before = sum(client.pipe.writes for client in clients)
    encoded = fanout.formats.encodings.total
    sent = fanout.publish("trades.a")
    await fanout.settle()
    assert fanout.formats.encodings.total - encoded == 1
    assert sum(client.pipe.writes for client in clients) - before == 1_000
    assert all(client.seqs("trades.a") == [sent] for client in clients)
    assert len(fanout.directory) == 2


@skips_time
async def test_the_formats_share_what_they_can() -> None:
    """SSE and NDJSON have one object, the two WebSocket encodings one row each."""
    fanout = Fanout()
    for wire in WIRES:
        for _ in range(3):
            fanout.client(wire, "fast", "trades.a")
    fanout.publish("trades.a")
    await fanout.settle()
    encodings = fanout.formats.encodings
    assert (encodings.json_objects, encodings.json_rows, encodings.msgpack_rows) == (1, 1, 1)


@skips_time
async def test_a_burst_is_one_write_each_and_calm_one_write_an_update() -> None:
    """Lossless: at once when quiet, else one write a window."""
    fanout = Fanout()
    clients = [fanout.client("sse", "fast", "trades.a") for _ in range(20)]
    fanout.publish("trades.a")
    await fanout.turns()
    before = [client.pipe.writes for client in clients]
    assert before == [2] * 20, "a quiet audience does not wait"
    for _ in range(100):
        fanout.publish("trades.a")
    await fanout.settle()
    assert [client.pipe.writes for client in clients] == [3] * 20


@skips_time
async def test_a_busy_conflated_channel_is_encoded_once_a_tick() -> None:
    """A thousand updates between two ticks are one encoding, and seq counts the folds."""
    fanout = Fanout()
    clients = [fanout.client("sse", "fast", "quotes.#") for _ in range(50)]
    await fanout.settle(0.001)
    for value in range(1_000):
        fanout.publish("quotes.a", value)
    await fanout.settle()
    assert fanout.formats.encodings.total == 1
    for client in clients:
        (update,) = client.named("update")
        assert (update["seq"], update["data"]) == (1_000, 999)
    assert fanout.tally.folded["quotes"] == 999


@skips_time
async def test_timers_belong_to_intervals() -> None:
    """A hundred times the clients, no more timers; without clients none at all."""
    counts = []
    for clients in (30, 3_000):
        fanout = Fanout()
        assert timers(fanout.loop) == 0
        everybody = [
            fanout.client("sse", "fast", "quotes.#", "trades.#", interval_ms=(20, 40, 80)[n % 3])
            for n in range(clients)
        ]
        fanout.publish("trades.a")
        fanout.publish("quotes.a")
        counts.append(timers(fanout.loop))
        await fanout.settle()
        for client in everybody:
            client.leave()
        await fanout.settle()
        assert len(fanout.directory) == 0
        assert timers(fanout.loop) == 0
    assert counts[1] <= counts[0] + 2 + 4 + 8, counts  # the slots of three intervals


@skips_time
async def test_an_outage_is_told_once_with_its_newest_reason() -> None:
    """The time is that of its beginning."""
    fanout = Fanout()
    client = fanout.client("json", "fast", "book.x")
    book = fanout.feeds["book"]
    for now, why in ((2, "gone"), (3, "still gone")):
        fanout.hub.upstream(book, Upstream.STALE, why, now)
        assert (book.why, book.since_ms) == (why, 2)
    await fanout.settle()
    assert [event["upstream"] for event in client.named("status")] == ["stale"]


@skips_time
async def test_a_stopped_fan_out_is_silent() -> None:
    """stop ends every timer, whoever is connected."""
    fanout = Fanout()
    clients = [fanout.client("sse", "fast", "#") for _ in range(3)]
    clients[0].clog()
    for _ in range(3):
        fanout.publish("trades.a")
        fanout.publish("quotes.a")
        await fanout.turns()
    for part in (fanout.directory, fanout.pump, fanout.background, fanout.slices):
        part.stop()
    assert timers(fanout.loop) == 0
