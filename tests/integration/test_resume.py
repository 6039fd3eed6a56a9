"""Resuming: exactly, at a bounded pace, and where it cannot be, said once and with a way on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest

from loadtest.rig.waiting import DEADLINE_S, until
from tickfan.core.history import OVERHEAD_BYTES
from tickfan.fanout.replay import BURST_S, Pace
from tickfan.parts import Parts
from tickfan.wire.inbound import footprint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.support.fixtures import MakeLive
    from tests.support.live import Live, Reader

CHANNEL = "trades.X"
WIRES = ["sse", "ws", "ndjson"]

SMALL = json.dumps(
    [
        {
            "name": "trades",
            "bind": ["trades.#"],
            "delivery": "lossless",
            "history_bytes_max": 2**20,
        }
    ]
)
"""One feed with the shortest history that the settings allow."""

FILLER = "x" * 9_000
"""Data of which a hundred fill the shortest history."""


def _publish_cost(data: str) -> int:
    return footprint(orjson.dumps(data)) + OVERHEAD_BYTES


async def _publish(service: Live, data: list[Any]) -> list[int]:
    """Publish on the channel; returns the ``seq`` of each."""
    seqs = []
    for each in data:
        await service.publish(CHANNEL, each)
        seq = service.service.feeds["trades"].channels[CHANNEL].seq
        assert seq is not None
        seqs.append(seq)
    return seqs


@contextlib.asynccontextmanager
async def _reading(
    service: Live, wire: str = "sse", cursor: str | None = None
) -> AsyncIterator[Reader]:
    """A subscriber of the channel that has asked, and has read nothing yet."""
    if wire == "ws":
        async with service.ws() as talk:
            fields = {} if cursor is None else {"cursor": cursor}
            await talk.say(op="subscribe", channels=[CHANNEL], **fields)
            yield talk
        return
    open_stream = {"sse": service.sse, "ndjson": service.ndjson}[wire]
    # Not the header: NDJSON has no Last-Event-ID.
    query = f"channels={CHANNEL}" + ("" if cursor is None else f"&last_event_id={cursor}")
    async with open_stream(query) as reader:
        yield reader


async def _cursor(service: Live) -> str:
    """A cursor at the end of what has been published."""
    async with _reading(service) as reader:
        cursor = (await reader.read_until("snapshot_end"))[-1]["cursor"]
    assert isinstance(cursor, str)
    return cursor


def _check_chain(updates: list[dict[str, Any]], seqs: list[int], prev: int | None) -> None:
    """Exactly these updates, each saying the one before it."""
    assert [update["seq"] for update in updates] == seqs
    assert [update["prev"] for update in updates] == [prev, *seqs[:-1]]


def _readers(service: Live) -> int:
    return service.service.pace.readers


# --- a storm -------------------------------------------------------------------


class Turnstile(Pace):
    """Notes what it gives when it gives it; while it is held, nobody reads."""

    def __init__(self, clock: Callable[[], float], readers_max: int, bytes_per_s: int) -> None:
        super().__init__(clock, readers_max, bytes_per_s)
        self.most = 0
        self.spent: list[tuple[float, int]] = []  # when, and how many bytes
        self.is_held = True
        self._clock_s = clock

    def admit(self) -> bool:
        is_in = super().admit()
        self.most = max(self.most, self.readers)
        return is_in

    def allowed(self) -> int:
        return 0 if self.is_held else super().allowed()

    def spend(self, size: int) -> None:
        super().spend(size)
        self.spent.append((self._clock_s(), size))


async def test_a_storm_of_resumes_is_paced_and_exact(make_live: MakeLive) -> None:
    """300 at once: never more than 5 read, none too fast, all exact, and the present flows."""
    storm, missed, size, rate = 300, 12, 400, 2**20
    # Heartbeats: on a busy machine a reader waits longer for its turn than for a sign of life.
    service = await make_live(
        parts=Parts(pace=Turnstile), STREAM__REPLAYS_MAX="5", STREAM__REPLAY_BYTES_PER_S=str(rate),
        STREAM__RETRY_MS="100", STREAM__HEARTBEAT_S="1",
    )  # fmt: skip
    pace = service.service.pace
    assert isinstance(pace, Turnstile)
    (before,) = await _publish(service, ["before"])
    cursor = await _cursor(service)
    seqs = await _publish(service, ["x" * size] * missed)
    runs: list[list[dict[str, Any]]] = []

    async def resume() -> None:
        async with _reading(service, cursor=cursor) as reader:
            updates = await reader.updates(missed)
            while updates[-1]["data"] != "after":
                updates += await reader.updates(1)
        runs.append(updates)

    async with (
        # aiohttp's client has a hundred connections and 300 s at most, if it is not told.
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
        ) as service.session,
        _reading(service) as present,
        asyncio.timeout(300),
        asyncio.TaskGroup() as tasks,
    ):
        await present.read_until("snapshot_end")

        async def publish_one() -> None:
            # The next is published when this one has come: it comes at once.
            seqs.extend(await _publish(service, ["meanwhile"]))
            (update,) = await present.updates(1)
            assert update["seq"] == seqs[-1]

        for _ in range(storm):
            tasks.create_task(resume())
        await until(lambda: service.service.tally.resumes[True] == storm, seconds=120)
        await until(lambda: _readers(service) == 5)
        for _ in range(5):
            await publish_one()
        assert (_readers(service), pace.spent) == (5, []), "all in, and none has read"
        pace.is_held = False
        released = service.service.loop.time()
        while _readers(service) > 0:
            await publish_one()
            # By progress, not by time: each goes to all who are through, which on a
            # busy machine is work enough to let nobody else through.
            given = len(pace.spent)
            await until(
                lambda given=given: len(pace.spent) > given + 20 or not _readers(service),  # type: ignore[misc]
                "more is read",
            )
        seqs += await _publish(service, ["after"])

    assert len(runs) == storm
    for run in runs:
        _check_chain(run, seqs, before)
    assert pace.most == 5
    total, (at, last) = sum(size for _, size in pace.spent), pace.spent[-1]
    assert total >= storm * missed * size, "all of the past was read at this pace"
    assert total - last <= rate * (BURST_S + at - released) + 1
    assert _readers(service) == 0


# --- places ----------------------------------------------------------------------


def _updates_of(service: Live) -> list[int]:
    """How many updates each connection was given, in the order of coming."""
    return [connection.subscriber.updates for connection in service.service.connections]


@pytest.mark.parametrize("wire", WIRES)
async def test_a_replayer_that_leaves_gives_its_place_back(make_live: MakeLive, wire: str) -> None:
    """In the middle of its replay; the next one gets the place, and everything."""
    service = await make_live(STREAM__REPLAYS_MAX="1", STREAM__REPLAY_BYTES_PER_S=str(2**17))
    (before,) = await _publish(service, ["before"])
    cursor = await _cursor(service)
    seqs = await _publish(service, [f"{number:01000}" for number in range(100)])
    async with _reading(service, wire, cursor) as first:
        (update,) = await first.updates(1)
        assert update["seq"] == seqs[0]
        async with _reading(service, wire, cursor) as second:
            await until(lambda: len(_updates_of(service)) == 2)
            # It is answered, and waits for its turn.
            assert (await second.next())["event"] == "subscribed"
            assert (await second.next())["event"] == "snapshot_end"
            await first.updates(20)
            assert _readers(service) == 1
            assert _updates_of(service)[1] == 0
            assert _updates_of(service)[0] < len(seqs), "the first is not through yet"
            first_socket = first.socket if wire == "ws" else first.response  # type: ignore[attr-defined]
            if wire == "ws":
                await first_socket.close()
            else:
                first_socket.close()
            await until(lambda: len(_updates_of(service)) == 1, "the first is gone")
            _check_chain(await second.updates(len(seqs)), seqs, before)
    await until(lambda: _readers(service) == 0)


async def test_who_is_through_makes_room(make_live: MakeLive) -> None:
    """With one place ten come through one after another, all staying connected."""
    service = await make_live(STREAM__REPLAYS_MAX="1")
    (before,) = await _publish(service, ["before"])
    cursor = await _cursor(service)
    seqs = await _publish(service, list(range(50)))
    async with contextlib.AsyncExitStack() as stack, asyncio.timeout(2 * DEADLINE_S):
        readers = [
            await stack.enter_async_context(_reading(service, WIRES[index % 3], cursor))
            for index in range(10)
        ]
        for reader in readers:
            _check_chain(await reader.updates(len(seqs)), seqs, before)
        assert _readers(service) == 0
        seqs += await _publish(service, ["live again"])
        for reader in readers:
            (update,) = await reader.updates(1)
            assert (update["seq"], update["prev"]) == (seqs[-1], seqs[-2])


async def test_a_newcomer_waits_for_no_place(make_live: MakeLive) -> None:
    """Only the past is paced: who comes without a cursor is live at once."""
    service = await make_live(STREAM__REPLAYS_MAX="1", STREAM__REPLAY_BYTES_PER_S=str(2**16))
    await _publish(service, ["before"])
    cursor = await _cursor(service)
    await _publish(service, ["x" * 1000] * 100)
    async with _reading(service, cursor=cursor) as slow, _reading(service) as fresh:
        await slow.updates(1)
        await fresh.read_until("snapshot_end")
        await _publish(service, ["now"])
        (update,) = await fresh.updates(1)
        assert update["data"] == "now"
        assert _readers(service) == 1, "the replay was still going on"


# --- what cannot be continued ---------------------------------------------------------


async def _overwrite(service: Live) -> list[int]:
    """More than the shortest history holds; returns every ``seq``."""
    feed = service.service.feeds["trades"]
    seqs = await _publish(service, [FILLER] * (2 * 2**20 // _publish_cost(FILLER)))
    assert feed.history.evicted is not None
    assert feed.history.size <= 2**20
    return seqs


@pytest.mark.parametrize("wire", WIRES)
async def test_an_old_cursor_is_reset_once(make_live: MakeLive, wire: str) -> None:
    """``history_lost``; with the cursor after the reset the next resume recovers."""
    service = await make_live(FEEDS=SMALL)
    await _publish(service, ["before"])
    old = await _cursor(service)
    seqs = await _overwrite(service)

    async with _reading(service, wire, old) as reader:
        opening = await reader.read_until("snapshot_end")
        granted, reset = (
            next(event for event in opening if event["event"] == name)
            for name in ("subscribed", "reset")
        )
        assert granted["channels"][0]["recovered"] is False
        assert (reset["feed"], reset["reason"]) == ("trades", "history_lost")
        assert [event["event"] for event in opening] == ["subscribed", "reset", "snapshot_end"]
        cursor = opening[-1]["cursor"]
        assert cursor == reset["cursor"]
        # It is live from the reset on, with nothing of what was before.
        seqs += await _publish(service, ["live"])
        (update,) = await reader.updates(1)
        assert (update["seq"], update["prev"]) == (seqs[-1], seqs[-2])

    # Before the update of above: it comes again, and no reset with it.
    seqs += await _publish(service, ["missed"])
    async with _reading(service, wire, cursor) as reader:
        opening = await reader.read_until("snapshot_end")
        assert [event["event"] for event in opening] == ["subscribed", "snapshot_end"]
        assert opening[0]["channels"][0]["recovered"] is True
        _check_chain(await reader.updates(2), seqs[-2:], seqs[-3])


def _of_another_stream(cursor: str) -> str:
    """The same place with the fingerprint of another message."""
    head, _, mark = cursor.rpartition(".")
    other = f"{head}.{mark[::-1]}"
    assert other != cursor
    return other


@pytest.mark.parametrize("wire", WIRES)
async def test_a_cursor_of_another_stream_is_reset_once(make_live: MakeLive, wire: str) -> None:
    """Same seq, other message: ``recreated``, although nothing is missing here."""
    service = await make_live()
    seqs = await _publish(service, list(range(5)))
    foreign = _of_another_stream(await _cursor(service))
    seqs += await _publish(service, [5])

    async with _reading(service, wire, foreign) as reader:
        opening = await reader.read_until("snapshot_end")
        assert [event["event"] for event in opening] == ["subscribed", "reset", "snapshot_end"]
        assert opening[0]["channels"][0]["recovered"] is False
        assert opening[1]["reason"] == "recreated"
        cursor = opening[1]["cursor"]

    seqs += await _publish(service, [6])
    async with _reading(service, wire, cursor) as reader:
        opening = await reader.read_until("snapshot_end")
        assert [event["event"] for event in opening] == ["subscribed", "snapshot_end"]
        assert opening[0]["channels"][0]["recovered"] is True
        _check_chain(await reader.updates(1), seqs[-1:], seqs[-2])


@pytest.mark.parametrize("wire", WIRES)
async def test_behind_oldest_everything_retained_comes(make_live: MakeLive, wire: str) -> None:
    """Who wants the rest of the history resumes from ``oldest``: all behind it, and on."""
    service = await make_live(FEEDS=SMALL)
    await _publish(service, ["before"])
    old = await _cursor(service)
    seqs = await _overwrite(service)
    async with _reading(service, wire, old) as reader:
        reset = (await reader.read_until("reset"))[-1]

    feed = service.service.feeds["trades"]
    oldest = feed.history.oldest
    assert oldest is not None
    assert oldest.seq > seqs[0], "some of it has given way"
    retained = [seq for seq in seqs if seq > oldest.seq]
    assert len(retained) == len(feed.history) - 1
    async with _reading(service, wire, reset["oldest"]) as reader:
        opening = await reader.read_until("snapshot_end")
        assert [event["event"] for event in opening] == ["subscribed", "snapshot_end"]
        assert opening[0]["channels"][0]["history_start"] == oldest.seq
        updates = await reader.updates(len(retained))
        retained += await _publish(service, ["live"])
        updates += await reader.updates(1)
    _check_chain(updates, retained, oldest.seq)


async def test_without_a_history_there_is_no_oldest(service: Live) -> None:
    """A cursor from before the stream was made anew, with nothing in it yet: null."""
    await _publish(service, ["before"])
    old = await _cursor(service)
    service.hub.reset(service.service.feeds["trades"], "recreated")
    # Not known to be read as far: it is waited for first, as a replica that is ahead.
    async with _reading(service, cursor=old) as reader:
        reset = (await reader.read_until("reset"))[-1]
        assert (reset["reason"], reset["oldest"]) == ("history_lost", None)
        seqs = await _publish(service, ["first"])
        _check_chain(await reader.updates(1), seqs, None)


# --- age ---------------------------------------------------------------------------


@pytest.mark.parametrize("wire", WIRES)
async def test_an_old_connection_is_asked_to_move_on(make_live: MakeLive, wire: str) -> None:
    """Not before 0.75 of the age, by name, with a cursor that is exact."""
    service = await make_live(STREAM__MAX_CONNECTION_AGE_S="1", STREAM__RETRY_MS="400")
    seqs: list[int] = []
    updates: list[dict[str, Any]] = []
    cursor: str | None = None
    for _ in range(2):
        begin = time.monotonic()
        async with _reading(service, wire, cursor) as reader, asyncio.timeout(2 * DEADLINE_S):
            events = await reader.read_until("snapshot_end")
            cursor = events[-1]["cursor"]
            while events[-1]["event"] != "closing":
                seqs += await _publish(service, [len(seqs)])
                events.append(await reader.next())
                if events[-1]["event"] == "update":
                    updates.append(events[-1])
                cursor = events[-1].get("cursor", cursor)
                await asyncio.sleep(0.05)
            seconds = time.monotonic() - begin
            with pytest.raises(EOFError):
                await reader.read_until("the end")
        farewell = events[-1]
        assert (farewell["reason"], farewell["code"]) == ("max_age", 4005)
        assert 200 <= farewell["retry_ms"] <= 600, "the configured delay, half to one and a half"
        assert seconds >= 0.75
        # What was published around the end comes with the resume.
        seqs += await _publish(service, [len(seqs)])
    async with _reading(service, wire, cursor) as reader:
        updates += await reader.updates(len(seqs) - len(updates))
    _check_chain(updates, seqs, None)


async def test_ages_are_spread(make_live: MakeLive) -> None:
    """Those who came together are not sent away together."""
    service = await make_live(STREAM__MAX_CONNECTION_AGE_S="100")
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(40):
            reader = await stack.enter_async_context(_reading(service))
            await reader.read_until("snapshot_end")
        now = service.service.loop.time()
        ages = [connection.leaves_at - now for connection in service.service.connections]
    assert len(ages) == 40
    assert all(60 < age <= 125 for age in ages)
    assert max(ages) - min(ages) > 10


async def test_by_default_no_connection_is_too_old(service: Live) -> None:
    """0 is never, as it ships."""
    async with _reading(service) as reader:
        await reader.read_until("snapshot_end")
        (connection,) = service.service.connections
        assert connection.leaves_at == float("inf")


async def test_a_resume_that_does_not_read_lets_the_next_one_in(make_live: MakeLive) -> None:
    """One place, a stalled client in it: a healthy client resumes all the same."""
    live = await make_live(STREAM__REPLAYS_MAX="1", STREAM__CLOSING_TIMEOUT_S="0.2")
    async with live.sse("channels=trades.X") as events:
        cursor = (await events.read_until("snapshot_end"))[-1]["cursor"]
    for number in range(3000):
        await live.publish(CHANNEL, {"number": number, "pad": "x" * 1000})
    stalled = socket.socket()
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stalled.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(stalled, (live.client.host, live.client.port))
    request = f"GET /v1/sse?channels=trades.X&last_event_id={cursor} HTTP/1.1\r\nHost: x\r\n\r\n"
    await loop.sock_sendall(stalled, request.encode())
    await until(lambda: live.service.pace.readers == 1, "the stalled client has the place")

    async with live.sse("channels=trades.X", headers={"Last-Event-ID": cursor}) as events:
        updates = await events.updates(3000)

    stalled.close()
    assert [update["data"]["number"] for update in updates] == list(range(3000))


async def test_who_waits_for_its_turn_hears_heartbeats(make_live: MakeLive) -> None:
    """A watchdog or a proxy must not take a queue for a dead connection."""
    live = await make_live(STREAM__REPLAYS_MAX="1", STREAM__HEARTBEAT_S="1")
    async with live.sse("channels=trades.X") as events:
        cursor = (await events.read_until("snapshot_end"))[-1]["cursor"]
    await live.publish(CHANNEL, 1)
    assert live.service.pace.admit()  # somebody else has the only place
    async with live.sse("channels=trades.X", headers={"Last-Event-ID": cursor}) as events:
        seen = await events.read_until("heartbeat")
        assert seen[-1]["cursor"] == cursor
        live.service.pace.leave()
        (update,) = await events.updates(1)
    assert update["data"] == 1


async def test_a_cursor_of_a_feed_that_is_no_more_is_a_reset(service: Live) -> None:
    """A renamed feed must not look like a fresh start: what was missed is said."""
    cursor = "1~gone.f3xmo.hOnlf8yVWM4"
    async with service.sse(f"channels={CHANNEL}&cursor={cursor}") as events:
        opening = await events.read_until("snapshot_end")
    assert opening[0]["channels"][0]["recovered"] is False
    resets = [event for event in opening if event["event"] == "reset"]
    assert [event["reason"] for event in resets] == ["unknown_feed"]
    # And once only.
    async with service.sse(f"channels={CHANNEL}&cursor={opening[-1]['cursor']}") as events:
        opening = await events.read_until("snapshot_end")
    assert opening[0]["channels"][0]["recovered"] is True
