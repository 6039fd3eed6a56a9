"""What a client's commands may take: hostile clients are slowed or closed, and no others."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from structlog.testing import capture_logs

from loadtest.rig.waiting import DEADLINE_S, until
from tests.service.transports.opened import KINDS, handshake, open_stream
from tests.support.raw import CLOSE, PING, PONG, TEXT, connect, upgrade
from tickfan.core.closing import THROTTLED
from tickfan.parts import Parts
from tickfan.transports.addresses import BURST_S
from tickfan.transports.admission import Admission
from tickfan.transports.budget import ADDRESS_COST, COMMANDS, CONNECTION_COST

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.fixtures import MakeLive
    from tests.support.live import Events, Live
    from tests.support.raw import Wire

LOOK_S = 0.25
"""What a look at the stopwatch takes: what is charged depends on no machine."""


class Costly(Admission):
    """Each thing that is charged takes as long as a look."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        looks = count()
        self.clock = dataclasses.replace(self.clock, stopwatch=lambda: next(looks) * LOOK_S)


COSTLY = Parts(admission=Costly)
UPDATES = 100
FEW = 30


@contextlib.asynccontextmanager
async def healthy(live: Live) -> AsyncIterator[Events]:
    """A client beside; what is left when the hostile one has gone is what it had before."""
    async with live.sse("channels=trades.A") as stream:
        await stream.read_until("snapshot_end")
        service = live.service
        tasks, audiences = len(asyncio.all_tasks()), len(service.directory)
        yield stream
        await until(lambda: service.connected == 1)
        await until(
            lambda: (len(asyncio.all_tasks()), len(service.directory)) == (tasks, audiences)
        )
        await until(lambda: service.limiter.addresses.get("127.0.0.1").streams == 1)
        await until(lambda: (len(service.background), len(service.pump)) == (0, 0))


async def misses_nothing(live: Live, stream: Events) -> None:
    for number in range(UPDATES):
        await live.publish("trades.A", number)
    assert [each["data"] for each in await stream.updates(UPDATES)] == list(range(UPDATES))


async def until_closed(wire: Wire) -> tuple[dict[str, Any], int]:
    """The ``closing`` of a WebSocket, and how many other frames came before it."""
    for before in count():
        frame = await wire.frame()
        if frame.opcode == TEXT and b'"closing"' in frame.body:
            closing: dict[str, Any] = orjson.loads(frame.body)
            frame = await wire.frame()
            assert (frame.opcode, frame.code) == (CLOSE, THROTTLED.code)
            return closing, before
    raise AssertionError


def _piece(opcode: int) -> bytes:
    """An empty frame of a message that goes on, masked."""
    return bytes((opcode, 0x80)) + bytes(4)


def _flood(kind: str, wire: Wire, frames: int) -> None:
    if kind == "pieces":
        # What follows them is less than a burst.
        wire.send(_piece(TEXT) + _piece(0) * (frames - FEW))
        kind, frames = "pings", FEW
    for number in range(frames):
        if kind == "commands":
            wire.send_frame(TEXT, b'{"op":"ping","id":%d}' % number)
        else:
            wire.send_frame({"pings": PING, "pongs": PONG}[kind], b"")


@pytest.mark.parametrize("kind", ["commands", "pings", "pongs", "pieces"])
async def test_who_floods_is_slowed_and_then_closed(make_live: MakeLive, kind: str) -> None:
    """By name, with frames of any kind; a client beside misses nothing, and nothing is left."""
    live = await make_live(STREAM__COMMANDS_PER_S_MAX="20", STREAM__THROTTLED_TIMEOUT_S="1")
    tally = live.service.tally
    with capture_logs() as logs:
        async with healthy(live) as stream, connect(live, upgrade()) as wire:
            await handshake(wire)
            _flood(kind, wire, 1000)
            await misses_nothing(live, stream)
            closing, answered = await until_closed(wire)
            assert (closing["reason"], closing["code"]) == ("throttled", THROTTLED.code)
            assert answered < 1000
        assert tally.closes["ws.json", "throttled"] == 1
        assert tally.throttled[COMMANDS] > 0
        assert tally.throttled_s[COMMANDS] > 0
        assert tally.throttled.keys() == {COMMANDS}
    [end] = [log for log in logs if log.get("transport") == "ws.json" and "bound" in log]
    assert (end["event"], end["bound"]) == ("connection ended", "commands_per_s_max")
    [waits] = [log for log in logs if log["event"] == "commands wait"]
    assert (waits["reason"], waits["remote"]) == (COMMANDS, "127.0.0.1")


async def test_who_waits_loses_nothing(make_live: MakeLive) -> None:
    """Each command has its answer, in order, and the next one after a while."""
    live = await make_live(STREAM__COMMANDS_PER_S_MAX="20")
    async with live.ws() as talk:
        for number in range(120):
            await talk.say(op="ping", id=number)
        assert [(await talk.next())["id"] for _ in range(120)] == list(range(120))
        assert live.service.tally.throttled[COMMANDS] > 0
    await until(lambda: live.service.tally.closes["ws.msgpack", "left"] == 1)


async def test_who_goes_while_it_waits_leaves_nothing(make_live: MakeLive) -> None:
    """Neither a timer that reads what nobody answers, nor its place."""
    live = await make_live(STREAM__COMMANDS_PER_S_MAX="1")
    async with healthy(live) as stream:
        async with connect(live, upgrade()) as wire:
            await handshake(wire)
            _flood("commands", wire, 100)
            await until(lambda: live.service.tally.throttled[COMMANDS])
            wire.cut()
        await until(lambda: live.service.connected == 1)
        await misses_nothing(live, stream)


async def test_churn_of_subscriptions_is_slowed_and_then_closed(make_live: MakeLive) -> None:
    """Few commands, each of which costs much: the time counts, not the number."""
    live = await make_live(
        parts=COSTLY, STREAM__COST_MS_PER_S_MAX="1000", STREAM__COMMANDS_PER_S_MAX="0",
        STREAM__THROTTLED_TIMEOUT_S="1",
    )  # fmt: skip
    await live.publish_all([f"quotes.S{number}" for number in range(50)])
    tally = live.service.tally
    with capture_logs() as logs:
        async with healthy(live) as stream, connect(live, upgrade()) as wire:
            await handshake(wire)
            for number in range(200):
                op = (b"subscribe", b"unsubscribe")[number % 2]
                wire.send_frame(TEXT, b'{"op":"%s","channels":["quotes.*"]}' % op)
            await misses_nothing(live, stream)
            closing, _ = await until_closed(wire)
            assert closing["reason"] == "throttled"
        assert tally.throttled[CONNECTION_COST] > 0
        assert tally.throttled.keys() == {CONNECTION_COST}
    [end] = [log for log in logs if log.get("transport") == "ws.json" and "bound" in log]
    assert end["bound"] == "cost_ms_per_s_max"


@pytest.mark.parametrize("kind", KINDS)
async def test_an_address_pays_for_what_it_asks(make_live: MakeLive, kind: str) -> None:
    """On each wire, for a stream and for its snapshot; lists of REST, too."""
    live = await make_live(parts=COSTLY, HTTP__COST_MS_PER_ADDRESS_PER_S_MAX="1")
    address = live.service.limiter.addresses.get("127.0.0.1")
    assert address.cost.full_at == 0
    async with connect(live, KINDS[kind]) as wire:
        await open_stream(wire, kind)
        paid = address.cost.full_at
        assert paid >= asyncio.get_running_loop().time() + LOOK_S * 1000 - DEADLINE_S
    await until(lambda: not live.service.connected)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_address_pays_for_its_snapshots(make_live: MakeLive, kind: str) -> None:
    """By the time that they take to write, once the client goes, or asks again."""
    live = await make_live(HTTP__COST_MS_PER_ADDRESS_PER_S_MAX="1")
    for number in range(100):
        await live.publish("quotes.A" if number == 0 else f"quotes.A{number}", "x" * 2000)
    address = live.service.limiter.addresses.get("127.0.0.1")
    asked = KINDS[kind].replace(b"quotes.A,trades.A", b"%23")
    async with connect(live, asked) as wire:
        if kind == "ws.json":
            await handshake(wire)
            wire.send_frame(TEXT, b'{"op":"subscribe","channels":["#"]}')
        while b"snapshot_end" not in (await wire.some()):
            pass
        paid = address.cost.full_at
    await until(lambda: not live.service.connected)
    assert address.cost.full_at > paid


async def test_lists_are_paid_by_their_address(make_live: MakeLive) -> None:
    """They are made in pieces; each is charged."""
    live = await make_live(HTTP__COST_MS_PER_ADDRESS_PER_S_MAX="1")
    address = live.service.limiter.addresses.get("127.0.0.1")
    async with live.session.get(live.url("/v1/channels")) as answer:
        assert answer.status == 200
    assert address.cost.full_at > 0


async def test_an_address_that_owes_waits(make_live: MakeLive) -> None:
    """Requests get 429, streams are throttled, commands wait and nobody is cut for them."""
    live = await make_live(
        HTTP__COST_MS_PER_ADDRESS_PER_S_MAX="1000", STREAM__THROTTLED_TIMEOUT_S="1"
    )
    tally, addresses = live.service.tally, live.service.limiter.addresses
    async with healthy(live) as stream:
        async with connect(live, upgrade()) as wire:
            await handshake(wire)
            addresses.charge("127.0.0.1", 2 * DEADLINE_S)
            wire.send_frame(TEXT, b'{"op":"ping"}')
            # Longer than stream.throttled_timeout_s: others of the address may owe it.
            await until(lambda: tally.throttled_s[ADDRESS_COST] > 2.5, "it waits")
            assert len(live.service.connections) == 2
            assert not tally.closes
        assert tally.throttled[ADDRESS_COST] == 1
        async with live.session.get(live.url("/v1/channels")) as answer:
            assert answer.status == 429
            assert int(answer.headers["Retry-After"]) > 1
            error = (await answer.json())["error"]
        assert error["code"] == "rate_limited"
        assert "http.cost_ms_per_address_per_s_max" in error["message"]
        for kind, asked in KINDS.items():
            async with connect(live, asked) as wire:
                assert b"throttled" in await wire.up_to(b"throttled")
            await until(partial(tally.closes.__getitem__, (kind, "throttled")))
        assert tally.throttled[ADDRESS_COST] == 1 + 1 + len(KINDS)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", live.client.port, local_addr=("127.0.1.1", 0)
        )
        writer.write(KINDS["sse"])
        await asyncio.wait_for(reader.readuntil(b"snapshot_end"), DEADLINE_S)
        writer.close()
        await misses_nothing(live, stream)


async def test_wildcards_are_counted_apart_from_names(make_live: MakeLive) -> None:
    """Each that is one too many is refused by name; names still go, and so do those held."""
    live = await make_live(STREAM__WILDCARDS_PER_CONNECTION_MAX="2")
    async with live.ws() as talk:
        await talk.say(op="subscribe", channels=["quotes.*", "quotes.A", "trades.#", "book.*"])
        subscribed = await talk.next()
        assert [each["channel"] for each in subscribed["channels"]] == [
            "quotes.*", "quotes.A", "trades.#",
        ]  # fmt: skip
        [error] = [each for each in await talk.read_until("error") if each["event"] == "error"]
        assert (error["code"], error["item"]) == ("too_many_wildcards", "book.*")
        await talk.say(op="unsubscribe", channels=["quotes.*"])
        await talk.say(op="subscribe", channels=["book.*", "trades.#", "book.B"])
        seen = await talk.read_until("subscribed")
        assert len(seen[-1]["channels"]) == 3
    query = "channels=quotes.%23,trades.%23,book.*"
    async with live.session.get(live.url(f"/v1/sse?{query}")) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["code"] == "too_many_wildcards"
    assert live.service.tally.refusals["too_many_wildcards"] == 2


async def test_a_socket_that_asks_for_nothing_goes(make_live: MakeLive) -> None:
    """One that has subscribed stays, also after it has unsubscribed."""
    live = await make_live(STREAM__FIRST_COMMAND_TIMEOUT_S="1")
    async with live.ws() as asking, connect(live, upgrade()) as silent:
        await asking.say(op="subscribe", channels=["quotes.A"])
        await asking.say(op="unsubscribe", channels=["quotes.A"])
        await asking.read_until("unsubscribed")
        await handshake(silent)
        silent.send_frame(TEXT, b'{"op":"subscribe","channels":["weather.A"]}')
        closing, _ = await until_closed(silent)
        assert closing["reason"] == "throttled"
        await asking.say(op="ping", id="still")
        assert (await asking.read_until("pong"))[-1]["id"] == "still"
    assert live.service.tally.closes["ws.json", "throttled"] == 1


async def test_who_publishes_too_often_is_told_to_wait(make_live: MakeLive) -> None:
    """No more than a burst is published; whoever only asks is not touched."""
    live = await make_live(PUBLISH__UPDATES_PER_ADDRESS_PER_S_MAX="1")
    url = live.url("/v1/channels/trades.A")
    async with healthy(live) as stream:
        for number in range(1000):
            async with live.session.post(url, json=number) as answer:
                if answer.status == 429:
                    message = (await answer.json())["error"]["message"]
                    break
                assert answer.status == 201
        assert int(answer.headers["Retry-After"]) >= 1
        assert number >= BURST_S
        assert "publish.updates_per_address_per_s_max" in message
        assert [each["data"] for each in await stream.updates(number)] == list(range(number))
        async with live.session.get(url) as answer:
            assert answer.status == 200
    assert live.service.tally.refusals["rate_limited"] == 1
    assert live.service.tally.published["trades"] == number
