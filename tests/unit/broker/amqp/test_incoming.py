"""tickfan.broker.amqp.incoming: what is cut out of a connection's bytes."""

from __future__ import annotations

import asyncio
import struct
import time
from datetime import UTC, datetime
from typing import Any

import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from loadtest.rig.waiting import DEADLINE_S, until
from tests.support.calls import calls_of
from tests.support.fanout import skips_time
from tests.support.updates import LAW
from tickfan.broker.amqp.incoming import TURN_S, Incoming
from tickfan.broker.base import Received

HEARTBEAT = pamqp.frame.marshal(Heartbeat(), 0)
QOS_OK = pamqp.frame.marshal(Basic.QosOk(), 1)


def deliver(tag: int = 1, key: str = "t.a", channel: int = 1) -> bytes:
    return pamqp.frame.marshal(Basic.Deliver("consumer", tag, False, "prices", key), channel)


def bodies(body: bytes, frame: int = 1000, channel: int = 1) -> bytes:
    parts = [body[at : at + frame] for at in range(0, len(body), frame)]
    return b"".join(pamqp.frame.marshal(ContentBody(part), channel) for part in parts)


def message(
    tag: int = 1, key: str = "t.a", body: bytes = b"1", channel: int = 1, **properties: Any
) -> bytes:
    """A delivery as RabbitMQ sends it, by the library's own encoder."""
    header = ContentHeader(body_size=len(body), properties=Basic.Properties(**properties))
    head = pamqp.frame.marshal(header, channel)
    return deliver(tag, key, channel) + head + bodies(body, channel=channel)


def raw_header(body_size: int, flags: int, rest: bytes) -> bytes:
    payload = struct.pack(">HHQH", 60, 0, body_size, flags) + rest
    return struct.pack(">BHI", 2, 1, len(payload)) + payload + b"\xce"


def read(*chunks: bytes) -> tuple[list[Received], bytes]:
    """What is taken, and what is passed on to the library."""

    async def reading() -> tuple[list[Received], bytes]:
        incoming, taken = Incoming(), list[Received]()
        incoming.route(1, taken.append)
        for chunk in chunks:
            incoming.feed_data(chunk)
        incoming.feed_eof()
        async with asyncio.timeout(DEADLINE_S):
            return taken, (await incoming.read()).replace(HEARTBEAT, b"")

    return asyncio.run(reading())


_names = st.text(max_size=40)
_fields = st.dictionaries(
    st.text(min_size=1, max_size=20),
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(-1e9, 1e9),
        st.text(max_size=50), st.binary(max_size=50).map(bytearray),
        st.lists(st.integers(0, 99), max_size=3),
        st.integers(0, 2**32).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
        st.dictionaries(st.text(min_size=1, max_size=5), st.integers(0, 2**40), max_size=3),
    ),
    max_size=5,
)  # fmt: skip


def _without_empty(received: Received) -> Received:
    """An empty text is as good as none."""
    return received._replace(
        message_id=received.message_id or None, content_encoding=received.content_encoding or None
    )


@LAW
@given(
    st.lists(
        st.tuples(
            st.binary(max_size=2500), _names, _fields, st.booleans(),
            st.none() | st.integers(2**32, 2**41), st.none() | st.integers(0, 2**62),
            st.dictionaries(
                st.sampled_from(["content_encoding", "correlation_id", "reply_to", "expiration",
                                 "user_id", "app_id", "message_id", "message_type"]), _names),
            st.none() | st.integers(0, 9),
        ),
        max_size=4,
    ),
    st.data(),
)  # fmt: skip
def test_reads_what_the_library_reads(messages: list[Any], data: st.DataObject) -> None:
    """Whatever the properties, however the bytes are cut: the same as by the library's decoder."""
    expected, sent = [], b""
    for tag, (body, key, fields, batch, ts, offset, texts, priority) in enumerate(messages, 1):
        headers = {
            **{name: value for name, value in fields.items() if name not in {"ts", "batch"}},
            **({"ts": ts} if ts is not None else {}),
            **({"batch": True} if batch else {}),
            **({"x-stream-offset": offset} if offset is not None else {}),
        }
        sent += message(tag, key, body, headers=headers or None, priority=priority, **texts)
        sent += QOS_OK + message(tag, key, body, channel=2)
        expected.append(
            Received(
                key, body, None, texts.get("message_type") or None,
                texts.get("message_id"), ts, batch, offset, tag, None,
                texts.get("content_encoding"),
            )
        )  # fmt: skip
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=5)))
    chunks = [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    taken, rest = read(*chunks)
    assert [_without_empty(each) for each in taken] == [_without_empty(each) for each in expected]
    passed = b"".join(
        QOS_OK + message(each.tag, each.routing_key, each.body, channel=2) for each in expected
    )
    # A body may look like a heartbeat, which is left out of what is read.
    assert rest == passed.replace(HEARTBEAT, b"")


def test_what_cannot_be_decoded_ends_nothing() -> None:
    """A year beyond 9999, text that is no UTF-8: the rest of the message is there."""
    late = raw_header(1, 0x8000 | 0x0040, b"\x01x" + struct.pack(">Q", 1_700_000_000_000_000_000))
    text = raw_header(1, 0x8000 | 0x0080, b"\x02\xff\xfe" + b"\x01m")
    key = deliver(key="t.?").replace(b"t.?", b"t.\xff")
    sent = deliver(1) + late + bodies(b"1") + deliver(2) + text + bodies(b"2")
    sent += key + raw_header(1, 0, b"") + bodies(b"3")
    taken, rest = read(sent)
    assert rest == b""
    assert [(each.body, each.content_type, each.ts, each.message_id) for each in taken] == [
        (b"1", "x", None, None), (b"2", "\ufffd\ufffd", None, "m"), (b"3", None, None, None),
    ]  # fmt: skip
    assert taken[2].routing_key == "t.\ufffd"


def frame(kind: int, payload: bytes) -> bytes:
    return struct.pack(">BHI", kind, 1, len(payload)) + payload + b"\xce"


def broken_deliver(tag_size: int = 0, exchange_size: int = 0, key_size: int = 0) -> bytes:
    """A Deliver in which each length says so much more, or less, than is there."""
    payload = b"\x00\x3c\x00\x3c" + bytes([1 + tag_size]) + b"c" + struct.pack(">QB", 1, 0)
    return frame(1, payload + bytes([1 + exchange_size]) + b"x" + bytes([3 + key_size]) + b"t.a")


HEAD = raw_header(4, 0, b"")
BROKEN = {
    "a consumer tag past its frame": broken_deliver(tag_size=200),
    "an exchange past its frame": broken_deliver(exchange_size=200),
    "a key past its frame": broken_deliver(key_size=200),
    "a key shorter than its frame": broken_deliver(key_size=-1),
    "a delivery that is cut off": frame(1, b"\x00\x3c\x00\x3c"),
    "a second delivery inside a first": deliver() + HEAD + bodies(b"AA") + message(2, body=b"BB"),
    "a second delivery before the header": deliver() + message(2),
    "a second header": deliver() + HEAD + HEAD,
    "a header of nothing": HEAD,
    "a header too short": deliver() + frame(2, b"\x00\x3c\x00\x00"),
    "a body longer than said": deliver() + HEAD + bodies(b"AAAABB"),
    "a last part longer than said": deliver() + HEAD + bodies(b"AAA") + bodies(b"BBB"),
    "a body before its header": deliver() + bodies(b"AAAA"),
    "a body of nothing": message(1, body=b"") + bodies(b"AAAA"),
    "a frame without an end": struct.pack(">BHI", 3, 1, 2**32 - 1) + b"A" * 100,
}


@pytest.mark.parametrize("after", [b"", message(9), bytes(5000)], ids=["", "more", "zeros"])
@pytest.mark.parametrize("wrong", BROKEN.values(), ids=BROKEN)
async def test_broken_frames_end_the_connection_by_name(wrong: bytes, after: bytes) -> None:
    """Nothing is made of them, nor of what follows: where a frame begins, nobody knows."""
    incoming, taken, said = Incoming(), list[Received](), list[str]()
    incoming.route(1, taken.append)
    incoming.on_broken = said.append
    incoming.feed_data(message(body=b"whole"))
    incoming.feed_data(wrong + after)
    incoming.feed_data(message(10))
    # On a busy machine a turn of the loop does not take all of it.
    await until(lambda: bool(said), "the end of the connection")
    [why] = said
    assert why.startswith("the broker's frames are broken: ")
    assert {each.body for each in taken} <= {b"whole", b""}
    assert not any(each.tag in {2, 9, 10} for each in taken)


@pytest.mark.parametrize("wrong", [b"AMQP\x00\x00\x09\x01", QOS_OK[:-1] + b"\x00", b"HTTP/1.1 400"])
def test_what_is_no_frame_is_for_the_library(wrong: bytes) -> None:
    """It knows how to complain."""
    taken, rest = read(message() + wrong)
    assert len(taken) == 1
    assert rest == wrong


async def test_a_flood_leaves_turns_to_others() -> None:
    """Deliveries stop after a while, the socket too, and go on in the loop's next turns."""
    loop = asyncio.get_running_loop()
    incoming, taken, turns = Incoming(), list[int](), list[int]()
    socket = Socket()
    incoming.set_transport(socket)

    incoming.route(1, lambda received: taken.append(received.tag))
    incoming.feed_data(b"".join(message(tag) for tag in range(1, 20_001)))
    assert 0 < len(taken) < 20_000
    assert socket.paused == [True]
    loop.call_soon(lambda: turns.append(len(taken)))
    incoming.feed_eof()
    rest = asyncio.ensure_future(incoming.read())
    await until(lambda: len(taken) == 20_000)
    assert taken == sorted(taken)
    assert turns[0] < 20_000
    async with asyncio.timeout(DEADLINE_S):
        assert (await rest).replace(HEARTBEAT, b"") == b""
    assert socket.paused == [True, False]


async def test_a_flood_of_empty_messages_leaves_turns_too() -> None:
    """They have no body frames."""
    incoming, taken = Incoming(), list[int]()

    def take(received: Received) -> None:
        taken.append(received.tag)
        until_then = time.perf_counter() + TURN_S / 2
        while time.perf_counter() < until_then:
            pass

    incoming.route(1, take)
    incoming.feed_data(b"".join(message(tag, body=b"") for tag in range(1, 11)))
    assert 0 < len(taken) < 10
    await until(lambda: len(taken) == 10)
    assert taken == sorted(taken)


async def test_the_library_hears_of_a_flood() -> None:
    """Else it takes the connection for stuck: a flood leaves no room for heartbeats."""
    incoming, taken = Incoming(sign_every_s=0.0), list[Received]()
    incoming.feed_data(QOS_OK)  # no sign: in the handshake it would be the wrong answer
    incoming.route(1, taken.append)
    whole = message(body=bytes(3000))
    incoming.feed_data(whole[:-1])
    assert (taken, incoming.taken, incoming.is_amid(1)) == ([], 4, True)
    incoming.feed_data(whole[-1:])
    assert (len(taken), incoming.taken, incoming.is_amid(1)) == (1, 5, False)
    incoming.feed_eof()
    assert await incoming.read() == QOS_OK + 2 * HEARTBEAT


async def test_a_forgotten_channel_is_the_librarys() -> None:
    """But not if its number has a new taker by now."""
    incoming, old, new = Incoming(), list[Received](), list[Received]()
    incoming.route(1, old.append)
    incoming.route(1, new.append)
    incoming.forget(1, old.append)
    incoming.feed_data(message())
    assert (len(old), len(new)) == (0, 1)
    incoming.forget(1, new.append)
    incoming.feed_data(message())
    incoming.feed_eof()
    assert await incoming.read() == message()
    assert len(new) == 1


class Socket(asyncio.Transport):
    """Notes when it is to pause."""

    def __init__(self) -> None:
        super().__init__()
        self.paused: list[bool] = []

    def pause_reading(self) -> None:
        """Note it."""
        self.paused.append(True)

    def resume_reading(self) -> None:
        """Note it."""
        self.paused.append(False)

    def is_closing(self) -> bool:
        """Tell that it is open."""
        return False


@skips_time
async def test_a_message_wakes_nobody() -> None:
    """No task and no handle of the loop for what is taken within a turn: the shape of the cost."""
    loop = asyncio.BaseEventLoop
    incoming, taken = Incoming(turn_s=60), list[Received]()
    incoming.route(1, taken.append)
    with calls_of(loop.call_soon, loop.call_at, loop.create_task) as woken:
        incoming.feed_data(b"".join(message(tag) for tag in range(50)))
    assert len(taken) == 50
    assert not woken


@pytest.mark.parametrize("at", [1, 7, 8, 12])
def test_nothing_is_taken_after_what_is_no_frame(at: int) -> None:
    """It is for the library, which says what is wrong: however it is cut, and what looks like
    a delivery, too."""
    junk = b"AMQP\0\0\x09\x01" + bytes(4)
    sent = junk + message(7)
    for pieces in ([sent], [sent[:at], sent[at:]], [junk, message(7)]):
        assert read(message(1), *pieces)[1] == sent
        assert [each.tag for each in read(message(1), *pieces)[0]] == [1]
