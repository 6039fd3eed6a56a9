"""How a WebSocket takes the messages of its client, one after the other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgpack
import orjson
import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import connect as websocket
from websockets.exceptions import ConnectionClosed

from loadtest.rig.waiting import DEADLINE_S, until
from tests.service.transports.faults import HeldBack
from tests.service.transports.opened import handshake
from tests.support.raw import CLOSE, PING, PONG, TEXT, connect, upgrade
from tickfan.parts import Parts

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive
    from tests.support.live import Live


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xf1\x80\0\0\0\0", 1002),  # reserved bits
        (b"\x83\x80\0\0\0\0", 1002),  # a reserved opcode
        (b"\x81\x82\0\0\0\0\xff\xfe", 1007),  # a text that is no UTF-8
        (b"\x88\x82\0\0\0\0\x13\x88", 1002),  # a close code of 5000
        (b"\x81\xfe\0\2", 1002),  # a length that is not the shortest
        (b"\x81\xff\x80" + bytes(7), 1002),  # a length of 2^63
    ],
)
async def test_frames_that_break_the_protocol_close_by_name(
    service: Live, data: bytes, code: int
) -> None:
    """RFC 6455, section 7.4.1; it counts as a bad request, not as a lost client."""
    async with connect(service, upgrade()) as wire:
        await handshake(wire)
        await wire.frame()
        wire.send(data)
        frame = await wire.frame()
        assert await wire.rest() == b""
    assert (frame.opcode, frame.code) == (CLOSE, code)
    await until(lambda: service.service.tally.closes == {("ws.json", "bad_request"): 1})


@pytest.mark.parametrize(
    ("body", "code"), [(b"", 1000), (b"\3\xe8", 1000), (b"\3\xe9bye", 1001), (b"\x0f\xa0", 4000)]
)
async def test_a_close_is_answered_with_its_code(service: Live, body: bytes, code: int) -> None:
    """RFC 6455, section 5.5.1: the client sees that its own close was understood."""
    async with connect(service, upgrade()) as wire:
        await handshake(wire)
        await wire.frame()
        wire.send_frame(CLOSE, body)
        frame = await wire.frame()
        assert await wire.rest() == b""
    assert (frame.opcode, frame.code) == (CLOSE, code)
    await until(lambda: service.service.tally.closes == {("ws.json", "left"): 1})


async def test_pings_of_a_client_are_answered(service: Live) -> None:
    """RFC 6455, section 5.5.3: with the same bytes, between other frames."""
    async with connect(service, upgrade()) as wire:
        await handshake(wire)
        await wire.frame()
        for body in (b"", b"x" * 125):
            wire.send_frame(PING, body)
            assert await wire.frame() == (PONG, body)


async def test_no_more_is_answered_than_the_client_reads(service: Live) -> None:
    """Hundreds of subscribes in one segment: each has its answer and its snapshot."""
    for index in range(50):
        await service.publish(f"quotes.{index}", "x" * 2_000)
    async with connect(service, upgrade()) as wire:
        await handshake(wire)
        await wire.frame()
        for number in range(300):
            command = {"op": "subscribe", "channels": ["quotes.#"], "id": number}
            wire.send_frame(TEXT, orjson.dumps(command))
        told = ended = 0
        while ended < 300:
            message = orjson.loads((await wire.frame()).body)
            if message["t"] == "subscribed":
                assert message["id"] == told
                told += 1
            elif message["t"] == "snapshot_end":
                ended += 1
            else:
                assert message["t"] == "updates", message
        assert told == 300


async def test_each_message_is_a_job_of_its_own(make_live: MakeLive) -> None:
    """Many at once wait their turn: read no further than one message, answered in order."""
    service = await make_live(parts=Parts(slices=HeldBack))
    slices = service.service.slices
    assert isinstance(slices, HeldBack)
    pad = b" " * 8_000
    async with connect(service, upgrade()) as wire:
        await handshake(wire)
        await wire.frame()
        [connection] = service.service.connections
        transport: Any = connection.subscriber.pipe
        slices.hold()
        for number in range(200):
            wire.send_frame(TEXT, orjson.dumps({"op": "ping", "id": number}) + pad)
        await until(lambda: not transport.is_reading())
        assert len(slices.held) == 1
        before = slices.added
        slices.release()
        for number in range(200):
            answer = orjson.loads((await wire.frame()).body)
            assert (answer["t"], answer["id"]) == ("pong", number)
        assert slices.added - before >= 199, "one was held"


async def test_a_message_that_is_too_large_for_a_client_is_named(service: Live) -> None:
    """It closes with 1009 each time that it comes back; nothing else would say why."""
    url = service.url("/v1/ws").replace("http", "ws")
    await service.publish("trades.small", "x")
    with capture_logs() as logs:
        async with asyncio.timeout(DEADLINE_S), websocket(url, max_size=2**15) as client:
            await client.send(msgpack.packb({"op": "subscribe", "channels": ["trades.#"]}))
            while msgpack.unpackb(await client.recv())["t"] != "snapshot_end":
                pass
            await service.publish("trades.large", "x" * 100_000)
            with pytest.raises(ConnectionClosed):
                await client.recv()
        await until(lambda: not service.service.connected)
    (said,) = [line for line in logs if line["event"] == "a client takes no message so large"]
    assert (said["code"], said["channel"], said["log_level"]) == (1009, "trades.large", "warning")
    assert 100_000 < said["largest_update_bytes"] < 101_000
