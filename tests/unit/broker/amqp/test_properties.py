"""tickfan.broker.amqp.properties: what is read of a message's properties."""

from __future__ import annotations

import struct
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
    names = ("content_type", "type", "message_id", "ts", "batch", "offset")
    return dict(zip(names, read, strict=True))


@pytest.mark.parametrize("wrong", ["1", -1, True, 2**60])
def test_a_wrong_time_is_none(wrong: Any) -> None:
    """What is no number of milliseconds counts as absent."""
    assert of(headers={"ts": wrong, "batch": 1})["ts"] is None


def test_the_timestamp_stands_in_for_the_header() -> None:
    """AMQP's own property, in seconds; the header wins."""
    moment = datetime(2026, 11, 20, tzinfo=UTC)
    assert of(timestamp=moment)["ts"] == int(moment.timestamp()) * 1000
    assert of(timestamp=moment, headers={"ts": 5})["ts"] == 5


def test_a_timestamp_in_ms_is_taken_for_that() -> None:
    """Many publishers send them, against the specification; 2**32 s are the year 2106."""
    for sent, ts in ((1_763_596_800_000, 1_763_596_800_000), (2**32 - 1, (2**32 - 1) * 1000)):
        assert named(raw(0x0040, struct.pack(">Q", sent)))["ts"] == ts


@pytest.mark.parametrize("beyond", [253_402_300_800_000, 2_899_545_218_721_251, 2**63])
def test_a_timestamp_beyond_every_year_is_none(beyond: int) -> None:
    """Microseconds, or what a stream makes of them."""
    assert named(raw(0x0040, struct.pack(">Q", beyond)))["ts"] is None


def test_only_true_is_a_batch_and_only_a_number_an_offset() -> None:
    """A publisher's slip in a type is no header at all."""
    taken = of(headers={"batch": 1, "x-stream-offset": "3"})
    assert (taken["batch"], taken["offset"]) == (False, None)
    assert of(headers={"batch": False})["batch"] is False


@pytest.mark.parametrize("table", [b"\x01a?1", b"\x01aS\x00\xff\xff\xff", b"\xf0", b"\x01al\x00"])
def test_a_broken_table_keeps_the_place(table: bytes) -> None:
    """Else a stream would stop at this message for ever."""
    table = b"\x0fx-stream-offsetl" + struct.pack(">q", 77) + table
    assert named(raw(0x2000, struct.pack(">I", len(table)) + table))["offset"] == 77
