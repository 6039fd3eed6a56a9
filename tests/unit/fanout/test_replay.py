"""tickfan.fanout.replay: reading what was missed out of the history."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fanout import WIRES, Client, Fanout, bound_of, skips_time
from tests.support.updates import LAW
from tickfan.core import closing
from tickfan.core.history import OVERHEAD_BYTES
from tickfan.core.spec import Delivery, FeedSpec
from tickfan.fanout.replay import BURST_S, LOOK_BYTES, Pace
from tickfan.fanout.serving import STEP_BYTES
from tickfan.wire.inbound import footprint

MISSED, SIZE = 20, 1000
"""Updates that each client of a storm has missed, and the bytes of data in each."""


def storm(
    fanout: Fanout, count: int, *, size: int = SIZE, mode: str = "fast"
) -> tuple[list[Client], list[int]]:
    """So many clients that resume in one moment, and the ``seq`` of all that each missed."""
    start = fanout.client("sse", "fast", "trades.#").cursor
    missed = [fanout.publish("trades.a", "x" * size) for _ in range(MISSED)]
    clients = [fanout.client(WIRES[index % len(WIRES)], mode) for index in range(count)]
    for client in clients:
        client.subscribe("trades.a", cursor=start)
    return clients, missed


def resuming(clients: list[Client]) -> list[Client]:
    """Those that have read some of what they missed, and not all of it yet."""
    return [client for client in clients if 0 < client.subscriber.updates < MISSED]


@pytest.mark.parametrize("wire", WIRES)
@skips_time
async def test_a_long_history_is_read_in_slices(wire: str) -> None:
    """A step's worth at a time, with updates coming in between, from two feeds."""
    fanout = Fanout()
    early = fanout.client(wire, "fast", "trades.#", "book.#")
    start = early.cursor
    trades, book = [], []
    for _ in range(200):
        trades.append(fanout.publish("trades.a", "x" * 900))
        book.append(fanout.publish("book.x", "x" * 900))
    await fanout.settle()
    client = fanout.client(wire, "lazy")
    client.subscribe("trades.#", "book.#", cursor=start)
    while client.is_replaying:
        trades.append(fanout.publish("trades.a"))
        book.append(fanout.publish("book.x"))
        await fanout.turns(1)
        assert len(trades) < 5_000, "it never catches up"
    await fanout.settle()
    assert client.seqs("trades.a") == early.seqs("trades.a") == trades
    assert client.seqs("book.x") == early.seqs("book.x") == book
    assert client.pipe.peak <= STEP_BYTES * 2
    assert not client.is_parked


@skips_time
async def test_only_the_channels_asked_for_are_read() -> None:
    """Passing over the others costs a slice too: one turn never scans a whole history."""
    fanout = Fanout()
    early = fanout.client("sse", "fast", "trades.rare")
    for _ in range(3 * STEP_BYTES // LOOK_BYTES):
        fanout.publish("trades.often")
    rare = fanout.publish("trades.rare")
    client = fanout.client("sse")
    client.subscribe("trades.rare", cursor=early.cursor)
    assert client.is_replaying
    await fanout.turns(1)
    assert not client.seqs("trades.rare")
    await fanout.settle()
    assert client.seqs("trades.rare") == [rare]


@skips_time
async def test_a_reader_that_history_overtakes_is_ended_by_name() -> None:
    """Never a silent hole: slow, and its cursor says where it was."""
    held = 100 * (OVERHEAD_BYTES + footprint(b"x" * 902))
    spec = FeedSpec("trades", ("trades.#",), Delivery.LOSSLESS, history_bytes_max=held)
    fanout = Fanout([spec])
    early = fanout.client("json", "fast", "trades.#")
    start = early.cursor
    sent = [fanout.publish("trades.a", "x" * 900) for _ in range(60)]
    await fanout.settle()
    client = fanout.client("json", "fast")
    client.subscribe("trades.#", cursor=start)
    client.pipe.become("stalled")
    await fanout.settle()
    sent += [fanout.publish("trades.a", "x" * 900) for _ in range(90)]
    client.pipe.become("fast")
    await fanout.settle()
    assert client.reason is closing.SLOW
    bound = bound_of(client)
    assert (bound.name, bound.updates) == ("history_bytes_max", len(fanout.feeds["trades"].history))
    seqs = client.seqs("trades.a")
    assert seqs
    assert seqs == sent[: len(seqs)]
    again = fanout.client("json")
    again.subscribe("trades.#", cursor=client.cursor)
    await fanout.settle()
    assert [one["reason"] for one in again.named("reset")] == ["history_lost"]


@skips_time
async def test_a_replay_survives_a_change_of_subscriptions() -> None:
    """A channel that is added or given up in the middle does not disturb the others."""
    fanout = Fanout()
    early = fanout.client("json", "fast", "trades.#")
    start = early.cursor
    sent = [fanout.publish("trades.a", "x" * 9_000) for _ in range(20)]
    await fanout.settle()
    client = fanout.client("json", "stalled")
    client.subscribe("trades.a", "trades.b", "book.x", cursor=start)
    for change in (lambda: client.subscribe("trades.c"), lambda: client.unsubscribe("book.x")):
        client.pipe.read()
        await fanout.settle(0.02)
        assert client.is_replaying
        change()
        sent.append(fanout.publish("trades.a"))
        fanout.publish("book.x", "not wanted")
    client.unsubscribe("trades.b")
    rest = [fanout.publish("trades.c")]
    client.pipe.become("fast")
    await fanout.settle()
    assert client.seqs("trades.a") == sent
    assert client.seqs("trades.c") == rest


@skips_time
async def test_a_channel_added_in_a_replay_begins_where_it_was_added() -> None:
    """Its full state comes, and what follows: not the past that the others still read."""
    fanout = Fanout()
    start = fanout.client("json", "fast", "trades.#").cursor
    missed = [fanout.publish("trades.a", "x" * 9_000) for _ in range(20)]
    fanout.publish("trades.b")
    state = [fanout.publish("trades.b", type=type_) for type_ in ("snapshot", None)]
    client = fanout.client("json", "stalled")
    client.subscribe("trades.a", cursor=start)
    assert client.is_replaying
    client.subscribe("trades.b")
    rest = [fanout.publish("trades.b")]
    client.pipe.become("fast")
    await fanout.settle()
    assert client.seqs("trades.a") == missed
    assert client.seqs("trades.b") == [*state, *rest]


@skips_time
async def test_a_stream_that_is_lost_in_the_middle_of_a_replay_goes_on_with_the_new() -> None:
    """All of the new one comes, though its numbers are below those that have been read."""
    fanout = Fanout()
    early = fanout.client("json", "fast", "trades.a")
    start = early.cursor
    old = [fanout.publish("trades.a", "x" * 9_000) for _ in range(20)]
    await fanout.settle()
    client = fanout.client("json", "stalled")
    client.subscribe("trades.a", cursor=start)
    while not client.seqs("trades.a"):
        client.pipe.read()
        await fanout.settle(0.02)
    fanout.reset("trades")
    new = [fanout.publish("trades.a", "new") for _ in range(3)]
    client.pipe.become("fast")
    await fanout.settle()
    at = client.events.index(client.named("reset")[0])
    before = [one["seq"] for one in client.events[:at] if one["event"] == "update"]
    assert 0 < len(before) < len(old)
    assert before == old[: len(before)]
    assert client.seqs("trades.a", since=at) == new


@skips_time
async def test_newest_values_do_not_wait_for_the_turn_to_resume() -> None:
    """They come to a slow client, too, as soon as its socket has drained."""
    fanout = Fanout(replays_max=0)  # the turn never comes
    early = fanout.client("json", "fast", "trades.a")
    fanout.publish("trades.a")
    client = fanout.client("json")
    client.subscribe("trades.a", "quotes.a", cursor=early.cursor)
    client.clog()
    newest = [fanout.publish("quotes.a") for _ in range(3)][-1]
    await fanout.settle()
    client.pipe.become("fast")
    await fanout.settle()
    assert client.seqs("quotes.a") == [newest]
    assert not client.seqs("trades.a"), "it should be waiting"


@skips_time
async def test_no_more_resume_at_once_than_may() -> None:
    """The others wait for a place, and each gets one: all of them read everything."""
    fanout = Fanout(replays_max=2)
    clients, missed = storm(fanout, 7, size=2 * STEP_BYTES // MISSED, mode="stalled")
    for client in clients:
        client.pipe.read()  # the answer; of the past a first slice comes, and waits
    left = list(clients)
    while left:
        await fanout.settle(0.1)
        inside = resuming(left)
        assert len(inside) == min(2, len(left))
        for client in inside:
            client.pipe.become("fast")
            left.remove(client)
    await fanout.settle(0.1)
    assert [client.seqs("trades.a") for client in clients] == [missed] * 7


@pytest.mark.parametrize("how", ["leaves", "is ended", "reads no more"])
@skips_time
async def test_who_is_through_in_the_middle_lets_the_next_one_resume(how: str) -> None:
    """A place is never lost with whoever had it."""
    fanout = Fanout(replays_max=1)
    clients, missed = storm(fanout, 2, size=4 * STEP_BYTES // MISSED, mode="stalled")
    for client in clients:
        client.pipe.read()
    await fanout.settle(0.1)
    (first,) = resuming(clients)
    (second,) = (client for client in clients if client is not first)
    if how == "leaves":
        first.leave()
    elif how == "is ended":
        first.subscriber.end(closing.DRAIN)
    second.pipe.become("fast")
    await fanout.settle(2.0)
    assert second.seqs("trades.a") == missed
    first.leave()
    assert fanout.pace.readers == 0


@skips_time
async def test_the_past_is_read_no_faster_than_may() -> None:
    """All who resume share so many bytes a second, however many they are."""
    rate = 20 * SIZE
    fanout = Fanout(replays_max=100, replay_bytes_per_s=rate)
    began = fanout.loop.time()
    clients, missed = storm(fanout, 7)
    read = 0
    while read < 7 * MISSED:
        await fanout.settle(0.01)
        read = sum(client.subscriber.updates for client in clients)
        # The last update may be longer than what was allowed.
        assert (read - 1) * SIZE <= rate * (BURST_S + fanout.loop.time() - began)
    assert [client.seqs("trades.a") for client in clients] == [missed] * 7


@skips_time
async def test_a_storm_does_not_hold_up_the_present() -> None:
    """While as many resume as may, who is up to date gets each update at once."""
    fanout = Fanout(replays_max=2, replay_bytes_per_s=20 * SIZE)
    present = fanout.client("sse", "fast", "trades.a")
    clients, missed = storm(fanout, 7)
    await fanout.settle(0.1)
    for _ in range(5):
        assert resuming(clients)
        missed.append(fanout.publish("trades.a", "now"))
        await fanout.settle(0.02)
        assert present.seqs("trades.a") == missed
    await fanout.settle(60)
    assert [client.seqs("trades.a") for client in clients] == [missed] * 7


@skips_time
async def test_what_comes_during_a_resume_is_not_paced() -> None:
    """Only what was missed is; else a busy channel's readers would keep their places for ever."""
    rate = 20 * SIZE
    fanout = Fanout(replays_max=1, replay_bytes_per_s=rate)
    (client, waiting), missed = storm(fanout, 2)
    await fanout.settle(0.1)
    assert resuming([client, waiting]) == [client]
    missed += [fanout.publish("trades.a", "x" * SIZE) for _ in range(100)]
    # Time for what both missed, and not for a third of what came since.
    await fanout.settle(3 * 2 * MISSED * SIZE / rate)
    assert client.seqs("trades.a") == waiting.seqs("trades.a") == missed


SLACK = 1e-3
"""For floats: bytes, where the numbers are millions."""


class Clock:
    """A clock that a test sets, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


RATES = st.integers(65_536, 2**34)
WAITS_S = st.sampled_from([0.0, 0.0, 0.001, 0.01, 0.3, 60.0]) | st.floats(0, 2)
SIZES = st.integers(1, 2**20)


@given(readers_max=st.integers(1, 5), calls=st.lists(st.booleans(), max_size=60))
@LAW
def test_never_more_readers_than_the_maximum(readers_max: int, calls: list[bool]) -> None:
    """A place is given if and only if one is free; giving one back frees exactly one."""
    pace, inside = Pace(Clock(), readers_max, bytes_per_s=1_000_000), 0
    for wants_in in calls:
        if wants_in:
            is_admitted = pace.admit()
            assert is_admitted == (inside < readers_max)
            inside += is_admitted
        elif inside:
            pace.leave()
            inside -= 1
        assert pace.readers == inside <= readers_max


@given(rate=RATES, turns=st.lists(st.tuples(WAITS_S, SIZES, SIZES), max_size=60))
@LAW
def test_bytes_never_exceed_burst_and_rate_by_more_than_one_spend(
    rate: int, turns: list[tuple[float, int, int]]
) -> None:
    """Over any run, from any moment of it: burst + rate x time, and the last read.

    A reader asks, reads up to what is allowed, and ends behind an update that
    may be longer.
    """
    clock = Clock()
    pace = Pace(clock, readers_max=100, bytes_per_s=rate)
    spent: list[tuple[float, int]] = []
    for wait_s, want, overshoot in turns:
        clock.now += wait_s
        allowed = pace.allowed()
        assert allowed <= rate * BURST_S
        if allowed <= 0:
            continue
        size = want if want <= allowed else allowed + overshoot
        pace.spend(size)
        spent.append((clock.now, size))
    for first, (begin, _) in enumerate(spent):
        total = 0
        for at, size in spent[first:]:
            total += size
            assert total - size <= rate * (BURST_S + at - begin) + SLACK


@given(rate=RATES, size=SIZES)
@LAW
def test_a_debt_is_paid_in_the_time_that_its_bytes_take(rate: int, size: int) -> None:
    """One large read keeps everybody waiting just as long as it was too large."""
    clock = Clock()
    pace = Pace(clock, readers_max=100, bytes_per_s=rate)
    burst = pace.allowed()
    pace.spend(burst + size)
    assert pace.allowed() <= 0
    clock.now += size / rate * 0.99
    assert pace.allowed() <= 0
    clock.now += size / rate * 0.01 + 3 / rate  # whole bytes are given
    assert pace.allowed() > 0


def test_idle_time_is_not_saved_up() -> None:
    """After a quiet hour no more goes at once than after a tenth of a second."""
    clock = Clock()
    pace = Pace(clock, readers_max=100, bytes_per_s=1_000_000)
    clock.now += 3600
    assert pace.allowed() == 1_000_000 * BURST_S


@pytest.mark.parametrize("asks", [1, 1000])
def test_asking_costs_nothing(asks: int) -> None:
    """However often it is asked, what comes in a second is a second's bytes."""
    clock = Clock()
    pace = Pace(clock, readers_max=100, bytes_per_s=1_000_000)
    pace.spend(pace.allowed() + 2_000_000)
    for _ in range(asks):
        clock.now += 2 / asks
        pace.allowed()
    assert abs(pace.allowed()) <= 1
