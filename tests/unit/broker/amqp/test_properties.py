"""tickfan.broker.amqp.properties: what is read of a message's properties."""

from __future__ import annotations

import struct
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from tickfan.broker.amqp.properties import Properties, read_properties


def raw(flags: int, rest: bytes) -> Properties:
    """What is read of these bytes; what stands before and behind them is another's."""
    return read_properties(b"\xff" * 3 + rest + b"\xff" * 3, 3, 3 + len(rest), flags)


def of(**properties: Any) -> dict[str, Any]:
    """What is read of properties as the library writes them."""
    payload = ContentHeader(body_size=1, properties=Basic.Properties(**properties)).marshal()
    (flags,) = struct.unpack_from(">H", payload, 12)
    return named(raw(flags, payload[14:]))


def named(read: Properties) -> dict[str, Any]:
    """By name."""
    names = (
        "content_type",
        "type",
        "message_id",
        "ts",
        "batch",
        "offset",
        "wrong",
        "content_encoding",
    )
    return dict(zip(names, read, strict=True))


def table(*fields: tuple[bytes, bytes, bytes]) -> bytes:
    """Headers, each a name, a type and the bytes of its value."""
    joined = b"".join(bytes([len(name)]) + name + kind + value for name, kind, value in fields)
    return struct.pack(">I", len(joined)) + joined


def between(name: bytes, kind: bytes, value: bytes) -> bytes:
    """The header between two others."""
    return table(
        (b"a", b"V", b""), (name, kind, value), (b"x-stream-offset", b"b", b"\x07"),
    )  # fmt: skip


MS = 1_763_596_800_123
MOMENT = datetime(2025, 11, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "value", "ts"),
    [
        (b"l", struct.pack(">q", MS), MS), (b"L", struct.pack(">q", MS), MS),
        (b"l", struct.pack(">q", MS * 1000), MS), (b"l", struct.pack(">q", MS * 10**6), MS),
        (b"i", struct.pack(">I", MS // 1000), MS - 123), (b"l", bytes(8), None),
        (b"I", struct.pack(">i", MS // 1000), MS - 123),
        (b"d", struct.pack(">d", MS), MS), (b"d", struct.pack(">d", MS / 1000), MS),
        (b"S", b"\0\0\0\x0d%d" % MS, MS), (b"S", b"\0\0\0\x0a1763596800", MS - 123),
        (b"S", b"\0\0\0\x182025-11-20T00:00:00.123Z", MS),
        (b"T", struct.pack(">Q", MS // 1000), MS - 123), (b"T", struct.pack(">Q", MS), MS),
        (b"V", b"", None),
    ],
)  # fmt: skip
def test_the_header_ts_in_whatever_type(kind: bytes, value: bytes, ts: int | None) -> None:
    """STOMP has only texts, some languages only doubles, and AMQP has a type for times."""
    read = named(raw(0x2000, between(b"ts", kind, value)))
    assert (read["ts"], read["wrong"]) == (ts, None)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (b"S", b"\0\0\0\x09yesterday"), (b"S", b"\0\0\0\0"), (b"S", b"\0\0\0\x02\xff\xfe"),
        (b"l", struct.pack(">q", -MS)), (b"b", b"\x05"), (b"l", struct.pack(">q", MS * 100)),
        (b"d", struct.pack(">d", float("nan"))), (b"f", struct.pack(">f", MS / 1000)),
        (b"D", b"\0\0\0\0\x05"), (b"t", b"\x01"), (b"T", struct.pack(">Q", MS * 1000)),
        (b"x", b"\0\0\0\x01\x05"), (b"A", b"\0\0\0\0"), (b"F", b"\0\0\0\0"),
    ],
)  # fmt: skip
def test_a_header_ts_that_is_no_time_is_wrong(kind: bytes, value: bytes) -> None:
    """By name; the rest of the message is read. A float of 32 bits is a minute off."""
    fields = between(b"ts", kind, value)
    read = named(raw(0x2000 | 0x0040 | 0x0020, fields + struct.pack(">Q", 5) + b"\x04done"))
    assert read["wrong"].reason == "bad_ts"
    assert (read["ts"], read["type"], read["offset"]) == (None, "done", 7)


def test_the_timestamp_stands_in_for_the_header() -> None:
    """AMQP's own property, in seconds; the header wins, unless it says no time."""
    ts = int(MOMENT.timestamp()) * 1000
    assert of(timestamp=MOMENT)["ts"] == ts
    assert of(timestamp=MOMENT, headers={"ts": MS})["ts"] == MS
    assert of(timestamp=MOMENT, headers={"ts": 0})["ts"] == ts
    assert of(timestamp=datetime.fromtimestamp(0, UTC))["ts"] is None


@pytest.mark.parametrize("sent", [1_763_596_800_000, 1_763_596_800])
def test_a_timestamp_in_ms_is_taken_for_that(sent: int) -> None:
    """Many publishers send them, against the specification."""
    assert named(raw(0x0040, struct.pack(">Q", sent)))["ts"] == 1_763_596_800_000


@pytest.mark.parametrize("beyond", [MS * 1000, 2_899_545_218_721_251, 2**63])
def test_a_timestamp_beyond_every_year_is_wrong(beyond: int) -> None:
    """Microseconds, or what a stream makes of nanoseconds. Beside a header nobody looks at it."""
    read = named(raw(0x0040, struct.pack(">Q", beyond)))
    assert (read["ts"], read["wrong"].reason) == (None, "bad_ts")
    fields = table((b"ts", b"l", struct.pack(">q", MS))) + struct.pack(">Q", beyond)
    read = named(raw(0x2040, fields))
    assert (read["ts"], read["wrong"]) == (MS, None)


@pytest.mark.parametrize(
    ("kind", "value", "batch"),
    [
        (b"t", b"\1", True), (b"t", b"\0", False), (b"V", b"", False),
        (b"b", b"\1", True), (b"B", b"\0", False), (b"I", b"\0\0\0\1", True),
        (b"l", bytes(7) + b"\1", True), (b"l", bytes(8), False),
        (b"S", b"\0\0\0\4true", True), (b"S", b"\0\0\0\4True", True),
        (b"S", b"\0\0\0\1" + b"1", True), (b"S", b"\0\0\0\6 TRUE\n", True),
        (b"S", b"\0\0\0\5false", False), (b"S", b"\0\0\0\1" + b"0", False),
    ],
)  # fmt: skip
def test_the_header_batch_in_whatever_type(kind: bytes, value: bytes, batch: bool) -> None:
    """STOMP has only texts, some languages only numbers."""
    read = named(raw(0x2000, between(b"batch", kind, value)))
    assert (read["batch"], read["wrong"], read["offset"]) == (batch, None, 7)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (b"b", b"\2"), (b"l", b"\xff" * 8), (b"S", b"\0\0\0\0"), (b"S", b"\0\0\0\3yes"),
        (b"S", b"\0\0\0\1\xff"), (b"S", (1000).to_bytes(4, "big") + b"x" * 1000),
        (b"d", struct.pack(">d", 1)), (b"T", bytes(8)), (b"A", b"\0\0\0\0"),
        (b"F", b"\0\0\0\0"), (b"x", b"\0\0\0\1\1"), (b"D", b"\0\0\0\0\1"),
    ],
)  # fmt: skip
def test_a_header_batch_that_says_neither_is_wrong(kind: bytes, value: bytes) -> None:
    """Else an array of many updates would pass for one value of the routing key's channel."""
    read = named(raw(0x2000, between(b"batch", kind, value)))
    assert read["wrong"].reason == "bad_batch"
    assert "send true" in read["wrong"].detail
    assert len(read["wrong"].detail) < 150
    assert read["offset"] == 7


def test_text_that_is_no_utf_8_is_not_as_good_as_none() -> None:
    """A type or content type that cannot be read is refused later, by its name."""
    text = b"\x03a\xffb"
    read = named(raw(0x8000 | 0x0080 | 0x0020, text * 3))
    assert [read[name] for name in ("content_type", "message_id", "type")] == ["a\ufffdb"] * 3


def test_the_content_encoding_is_what_the_publisher_calls_it() -> None:
    """Nobody unpacks a body by it: it helps to say what is wrong."""
    assert of(content_type="x", content_encoding="gzip")["content_encoding"] == "gzip"
    assert of(content_type="x")["content_encoding"] is None


def test_only_a_number_is_an_offset() -> None:
    """A publisher may send a header of this name, too."""
    assert of(headers={"x-stream-offset": "3"})["offset"] is None


@pytest.mark.parametrize("broken", [b"\x01a?1", b"\x01aS\x00\xff\xff\xff", b"\xf0", b"\x01al\x00"])
def test_a_broken_table_keeps_the_place(broken: bytes) -> None:
    """Else a stream would stop at this message for ever."""
    fields = b"\x0fx-stream-offsetl" + struct.pack(">q", 77) + broken
    assert named(raw(0x2000, struct.pack(">I", len(fields)) + fields))["offset"] == 77


def test_many_headers_of_one_name() -> None:
    """The last of them counts, and they take time in proportion: 20 ms, and not a second."""
    rest = table(*[(b"ts", b"V", b"")] * 30_000, (b"ts", b"l", struct.pack(">q", MS // 1000)))
    times = []
    for _ in range(5):
        began = time.perf_counter()
        assert named(raw(0x2000, rest))["ts"] == MS // 1000 * 1000
        times.append(time.perf_counter() - began)
    assert min(times) < 0.3
